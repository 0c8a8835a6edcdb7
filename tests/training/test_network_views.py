"""TensorBoard has the network, its weights and gradients, and looking changes nothing of the training."""

import csv
import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fer.training.train import train
from tests.composing import composed

STAGES = {"stem", "layer1", "layer2", "layer3", "layer4", "head"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_overrides: list[str]) -> dict[str, Path]:
    """The same run with and without views of the network: the head alone in the first epoch, then all."""
    folders = {}
    for name, more in (
        ("watched", ["callbacks.weights_and_gradients.every_n_epochs=2"]),
        ("plain", ["callbacks.graph=null", "callbacks.weights_and_gradients=null"]),
    ):
        plain = [override for override in tiny_overrides if override != "callbacks.graph=null"]
        options = [*plain, "freeze=head_first", "trainer.limit_train_batches=3", "seed=1"]
        folders[name] = tmp_path_factory.mktemp(name)
        train(composed("train", *options, *more), folders[name])
    return folders


@pytest.fixture(scope="module")
def shown(runs: dict[str, Path]) -> EventAccumulator:
    return EventAccumulator(str(runs["watched"] / "tensorboard"), {"scalars": 0, "histograms": 0}).Reload()


def test_the_graph_is_there(shown: EventAccumulator) -> None:
    assert any("conv1" in node.name for node in shown.Graph().node)


def test_weights_and_gradients_are_shown_by_stage(shown: EventAccumulator) -> None:
    tags = shown.Tags()["histograms"]
    assert {tag.removeprefix("weights/") for tag in tags if tag.startswith("weights/")} == STAGES
    assert {tag.removeprefix("weights_gradient/") for tag in tags if tag.startswith("weights_gradient/")} == STAGES
    assert [event.step for event in shown.Histograms("weights/head")] == [5, 8]  # of the second and the last epoch


def test_every_epoch_has_its_gradient_norms_but_for_frozen_stages(shown: EventAccumulator) -> None:
    norms = {tag: [e.value for e in shown.Scalars(tag)] for tag in shown.Tags()["scalars"] if "gradient_norm" in tag}
    assert len(norms["watch_gradient_norm/head"]) == 3
    assert len(norms["watch_gradient_norm/stem"]) == 2
    assert norms["watch_gradient_norm/all"][0] == pytest.approx(norms["watch_gradient_norm/head"][0], rel=1e-5)
    assert norms["watch_gradient_norm/all"][2] > norms["watch_gradient_norm/stem"][1] > 0


def test_validation_recalls_are_those_of_the_classes(shown: EventAccumulator, runs: dict[str, Path]) -> None:
    recalls = {tag.split("/")[1]: shown.Scalars(tag) for tag in shown.Tags()["scalars"] if tag.startswith("val_recall")}
    assert len(recalls) == 7
    assert all(len(events) == 3 and all(0 <= event.value <= 1 for event in events) for events in recalls.values())
    with (runs["watched"] / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    metrics = json.loads((runs["watched"] / "metrics.json").read_text())
    images = {name: metrics[f"val/support_{name}"] for name in recalls}
    for epoch, row in enumerate(rows):
        found = sum(images[name] * events[epoch].value for name, events in recalls.items())
        assert found / sum(images.values()) == pytest.approx(float(row["val/accuracy"]), abs=1e-4)
        assert float(row["val_recall/happy"]) == pytest.approx(recalls["happy"][epoch].value)


def test_looking_changes_nothing(runs: dict[str, Path]) -> None:
    weights = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for folder in runs.values()
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    accuracies = [json.loads((folder / "metrics.json").read_text())["test/accuracy"] for folder in runs.values()]
    assert accuracies[0] == accuracies[1]
