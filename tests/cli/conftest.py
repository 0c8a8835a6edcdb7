"""A finished run, and copies of it that are changed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, for evaluations of it."""
    return shutil.copytree(tiny_run, tmp_path_factory.mktemp("runs") / "run")


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
