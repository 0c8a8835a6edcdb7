"""Runs whose freeze schedule changes on the way."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from readings import events

from fer.models.load import load_classifier
from fer.training.train import train


@pytest.mark.parametrize("schedule", ["linear_probe", "head_first", "gradual", "partial"])
def test_a_schedule_freezes_what_it_says_for_as_long_as_it_says(
    schedule: str, finished: tuple[Path, dict], tiny_config: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, _ = finished
    short = ("trainer.max_epochs=4", "trainer.limit_train_batches=2")
    cfg = tiny_config(f"model.weights={source}", f"freeze={schedule}", *short)
    with caplog.at_level("INFO"):
        assert train(cfg, tmp_path / schedule) is not None
    before = load_classifier(source).network.state_dict()
    after = torch.load(tmp_path / schedule / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    moved = {key.split(".")[0] for key in before if not torch.equal(before[key], after[f"network.{key}"])}
    everything = {key.split(".")[0] for key in before}
    expected = {"linear_probe": {"fc"}, "partial": {"fc", "layer4", "layer3"}}.get(schedule, everything)
    assert moved == expected
    assert "epoch 0 trains" in caplog.text
    counts = [event.value for event in events(tmp_path / schedule).Scalars("watch_schedule/trainable_parameters")]
    assert len(counts) == 4
    assert counts == sorted(counts)
    assert (counts[0] < counts[-1]) == (schedule in ("head_first", "gradual"))


def test_frozen_random_weights_are_warned_of(
    tiny_config: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tiny_config("freeze=linear_probe", "trainer.max_epochs=1"), tmp_path / "run")
    assert "freezes random weights" in caplog.text


@pytest.mark.slow
def test_a_compiled_network_freezes_and_thaws_as_an_eager_one(
    finished: tuple[Path, dict], tiny_config: Callable, tmp_path: Path
) -> None:
    source, _ = finished
    options = (f"model.weights={source}", "freeze=gradual", "freeze.every=1", "module.ema_decay=0.9")
    for compiled in ("false", "true"):
        assert train(tiny_config(*options, f"module.compile={compiled}"), tmp_path / compiled) is not None
    eager, compiled = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("false", "true")
    )
    assert eager.keys() == compiled.keys()
    before = load_classifier(source).network.state_dict()
    frozen = [key for key in before if key.startswith(("conv1", "layer1"))]  # thawed in the fourth epoch, of three
    assert frozen
    assert all(torch.equal(compiled[f"network.{key}"], before[key]) for key in frozen)
    assert all(torch.allclose(eager[key], compiled[key], rtol=0.05, atol=0.02) for key in eager if "num_" not in key)
