"""Runs whose config has keys that no longer exist are read and resumed like any other."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from fer.data.datamodule import FERDataModule
from fer.evaluation.trained_model import run_data
from fer.runs.resume import resumed_config
from fer.sweeps.grid import other_settings


@pytest.fixture
def old_run(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> tuple[DictConfig, Path]:
    """A config of today, and the folder of a run that had one key more."""
    wanted = tiny_config("data=fer2013")
    saved = wanted.copy()
    OmegaConf.update(saved, "data.match_sharpness", False, force_add=True)
    OmegaConf.save(saved, tmp_path / "config.yaml")
    return wanted, tmp_path


def test_a_run_of_before_resumes(old_run: tuple[DictConfig, Path]) -> None:
    wanted, folder = old_run
    assert resumed_config(wanted, folder, []) == wanted  # the same command again
    wanted.resume = str(folder)
    assert "match_sharpness" not in resumed_config(wanted, folder, []).data
    assert other_settings(folder, wanted, []) == ""  # a sweep passes over it as done


def test_the_data_of_a_run_of_before_are_known(old_run: tuple[DictConfig, Path]) -> None:
    arguments = run_data(old_run[1])
    assert arguments is not None
    assert FERDataModule(**arguments).name == "fer2013"
