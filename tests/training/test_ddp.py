"""Two processes (gloo, CPU) train as one: what is frozen, what is averaged, what is written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fer.models.load import load_classifier
from fer.training.train import train
from tests.forked import run_script


def run(folder: Path, *overrides: str, status: int = 0) -> str:
    done = run_script("train", *overrides, f"hydra.run.dir={folder}", folder=folder.parent)
    assert done.returncode == status, done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def two_ranks(tiny_overrides: list[str]) -> list[str]:
    without = [override for override in tiny_overrides if override != "trainer=cpu" and "batch_size" not in override]
    ddp = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=16"]
    return [*without, *ddp, "freeze=head_first", "freeze.epochs=1", "module.ema_decay=0.9", "mix=mixup"]


def keep(folder: Path) -> str:
    return f"+callbacks.keep={{_target_:ranks.KeepWeights,folder:{folder}}}"


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


def test_two_ranks_stay_one_model_across_a_freeze_change(two_ranks: list[str], tmp_path: Path) -> None:
    """Lightning's own finetuning leaves what thaws late unsynchronised (#20340)."""
    run(tmp_path / "run", *two_ranks, keep(tmp_path))
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    parameters = {name for name, _ in load_classifier(tmp_path / "run").network.named_parameters()}
    trained = [{key: rank[f"network.{key}"] for key in parameters} for rank in ranks]
    assert same(*trained)
    averaged = [{key: rank[f"averaged.network.{key}"] for key in parameters} for rank in ranks]
    assert same(*averaged)
    assert not same(trained[0], averaged[0])
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["val/images"], metrics["test/images"]) == (42, 42)


def test_two_ranks_learn_what_one_process_learns(two_ranks: list[str], tiny_config: Callable, tmp_path: Path) -> None:
    """With the same images in each global step; of the head, for each rank's BatchNorm sees its own images only."""
    recipe = ["freeze=linear_probe", "trainer.max_epochs=2", "optimizer.lr=3e-2"]
    ddp = [override for override in two_ranks if override.partition("=")[0] not in ("mix", "freeze.epochs")]
    run(tmp_path / "two", *ddp, *recipe, "module.ema_decay=null", "trainer.strategy=auto")  # Lightning takes DDP
    train(tiny_config(*recipe), tmp_path / "one")
    one, two = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[key], two[key], atol=1e-5) for key in one)
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")]
    assert metrics[0]["val/images"] == metrics[1]["val/images"]
    assert metrics[0]["val/nll"] == pytest.approx(metrics[1]["val/nll"], rel=1e-4)


@pytest.mark.slow
def test_two_ranks_that_go_on_equal_two_that_never_stopped(two_ranks: list[str], tmp_path: Path) -> None:
    every_step = "callbacks.last.every_minutes=0"
    crash = "+callbacks.interrupt={_target_:interruptions.RaiseAt,step:9}"
    run(tmp_path / "whole", *two_ranks, every_step)
    run(tmp_path / "crashed", *two_ranks, every_step, crash, status=1)
    run(tmp_path / "crashed", *two_ranks, every_step)
    whole, resumed = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "crashed")
    )
    assert same(whole["state_dict"], resumed["state_dict"])
    assert same(whole["fer"]["raw"], resumed["fer"]["raw"])
    assert (tmp_path / "whole" / "predictions.csv").read_bytes() == (
        tmp_path / "crashed" / "predictions.csv"
    ).read_bytes()
