"""Time to accuracy: each contender learns and reports every epoch; turns, targets and failures."""

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from fer.errors import ConfigError, RunError
from fer.training import peers
from fer.training import time_to_accuracy as module
from fer.training.peers import Report, export_class_folders
from fer.training.time_to_accuracy import PROJECT, Epoch
from fer.training.train import build_data
from tests.composing import composed


@pytest.mark.parametrize("name", ["train_project", "train_torchvision", "train_torchvision_fp32", "train_fastai"])
def test_a_contender_reports_after_each_epoch(name: str, tiny_overrides: list[str], tmp_path: Path) -> None:
    if name == "train_fastai":
        pytest.importorskip("fastai", reason="not a dependency")
    cfg = composed("benchmark", *tiny_overrides, "trainer.max_epochs=2")
    data = build_data(cfg)
    for split in ("train", "val"):
        export_class_folders(data, tmp_path / split, data.splits[split])
    torch.manual_seed(0)
    accuracies: list[float] = []
    getattr(peers if hasattr(peers, name) else module, name)(cfg, tmp_path, accuracies.append)
    assert len(accuracies) == 2
    assert all(0 <= accuracy <= 1 for accuracy in accuracies)


def test_what_a_target_took_is_read_at_the_first_epoch_that_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    ours = [Epoch(0.5, 60, 30), Epoch(0.6, 120, 60)]
    theirs = [Epoch(0.4, 90, 45), Epoch(0.55, 180, 90)]
    results = module.times_to([0.5, 0.6], {PROJECT: ours, "torchvision_fp32": theirs})
    results["settings"] = {"device": "cpu, 1 thread", "model": "resnet18", "image_size": 48, "max_epochs": 2}
    assert results["contenders"][PROJECT]["targets"][0]["epoch"] == 1
    module.print_times(results)
    printed = capsys.readouterr().out
    assert "3.0 (3.0 times)" in printed
    assert "not reached" in printed
    assert "60.0%" in printed


def test_a_training_without_validation_is_refused(tiny_overrides: list[str], tmp_path: Path) -> None:
    cfg = composed("benchmark", *tiny_overrides, "trainer.max_epochs=1", "+trainer.limit_val_batches=0")
    with pytest.raises(ConfigError, match="no epoch was validated"):
        module.train_project(cfg, tmp_path, lambda accuracy: None)


def climbing(cfg: DictConfig, folder: Path, report: Report) -> None:
    """A contender that notes when it was on, and is better by a tenth after each epoch."""
    for epoch in range(cfg.trainer.max_epochs):
        with (folder / "turns").open("a") as file:
            file.write(json.dumps([cfg.name, epoch, multiprocessing.get_start_method()]) + "\n")
        report((epoch + 1) / 10)


def dying(cfg: DictConfig, folder: Path, report: Report) -> None:
    """A contender that is killed."""
    os._exit(3)


def refusing(cfg: DictConfig, folder: Path, report: Report) -> None:
    """A contender that cannot begin."""
    raise ConfigError("cannot work")


@pytest.mark.slow
def test_contenders_take_turns_and_stop_when_they_are_good_enough(
    composed_named: Callable[[str], DictConfig], tmp_path: Path
) -> None:
    contenders = {name: (climbing, composed_named(name), tmp_path) for name in ("a", "b")}
    *_, epochs = module._rounds(contenders, max_epochs=3, enough=0.2)
    turns = [json.loads(line) for line in (tmp_path / "turns").read_text().splitlines()]
    assert [turn[:2] for turn in turns] == [["a", 0], ["b", 0], ["a", 1], ["b", 1]]
    assert {turn[2] for turn in turns} == {multiprocessing.get_start_method()}  # as in a command of its own
    assert [[each.accuracy for each in found] for found in epochs.values()] == [[0.1, 0.2]] * 2
    for found in epochs.values():
        assert found[0].processor_seconds <= found[1].processor_seconds
    for contender, error in ((dying, RunError), (refusing, ConfigError)):
        with pytest.raises(error):
            list(module._rounds({"c": (contender, composed_named("c"), tmp_path)}, max_epochs=1, enough=1))


@pytest.fixture
def composed_named(tiny_overrides: list[str]) -> Callable[[str], DictConfig]:
    """A config with a name."""
    return lambda name: DictConfig({"name": name, "seed": 0, "trainer": {"max_epochs": 3}})
