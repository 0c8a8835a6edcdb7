"""A finished run, and copies of it that are changed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from fer.cli.app import CONF, register_resolvers
from fer.training.train import train


@pytest.fixture(scope="module")
def run(tiny_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the drawn faces: 210 of training, 42 of validation, 42 of test."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*tiny_overrides, "trainer.max_epochs=2"])
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train(cfg, folder) is not None
    return folder


@pytest.fixture(scope="module")
def numbers(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


@pytest.fixture
def changed(run: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies the run with its checkpoint changed."""

    def make(name: str, change: Callable[[dict[str, Any]], None] = lambda checkpoint: None) -> Path:
        folder = tmp_path / name
        shutil.copytree(run, folder, ignore=shutil.ignore_patterns("figures", "tensorboard", "last.ckpt"))
        checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
        change(checkpoint)
        torch.save(checkpoint, folder / "checkpoints" / "best.ckpt")
        return folder

    return make
