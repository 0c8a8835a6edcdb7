"""Configs and checkpoints of earlier versions mean the same today."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from fer.data.datamodule import FERDataModule
from fer.evaluation.trained_model import run_data
from fer.runs.folder import RunFolder
from fer.runs.renamed import translated, translated_target
from fer.runs.resume import differences, may_change, resumed_config
from fer.sweeps.grid import other_settings
from tests.composing import composed

# `_target_`s that the version of 27 November 2026 wrote into config.yaml and checkpoints
FIRST_VERSION = [
    "fer.data.augment.Augment",
    "fer.data.datamodule.FERDataModule",
    "fer.data.mix.Mix",
    "fer.model.classifier.ExpressionClassifier",
    "fer.model.freeze.FreezeSchedule",
    "fer.model.freeze.gradual",
    "fer.model.freeze.head_first",
    "fer.model.losses.ClassificationLoss",
    "fer.model.network.timm_network",
    "fer.model.rates.Equal",
    "fer.model.rates.Geometric",
    "fer.model.rates.LayerDecay",
    "fer.model.schedule.Constant",
    "fer.model.schedule.Cosine",
    "fer.model.schedule.OneCycle",
    "fer.training.callbacks.ConfusionMatrix",
    "fer.training.callbacks.EarlyStop",
    "fer.training.callbacks.EpochLines",
    "fer.training.callbacks.LearningRates",
    "fer.training.callbacks.SampleImages",
    "fer.training.callbacks.ScheduleFigure",
    "fer.training.callbacks.Throughput",
    "fer.training.checkpoint.BestCheckpoint",
    "fer.training.checkpoint.LastCheckpoint",
    "fer.training.trainer.build_trainer",
]


@pytest.mark.parametrize("target", FIRST_VERSION)
def test_every_class_that_was_ever_named_is_found(target: str) -> None:
    module, _, name = translated_target(target).rpartition(".")
    assert callable(getattr(__import__(module, fromlist=[name]), name))


@pytest.mark.parametrize("target", ["torch.optim.AdamW", "fer.models.network.timm_network", "fer.modelling.mine"])
def test_other_names_stay(target: str) -> None:
    assert translated_target(target) == target


def test_targets_are_translated_at_any_depth_and_nothing_else() -> None:
    old = OmegaConf.create(
        {
            "model": {"_target_": "fer.model.network.timm_network", "weights": "fer.model.pth"},
            "callbacks": {"all": [{"_target_": "fer.model.rates.Equal", "of": "${seed}"}]},
            "seed": 3,
        }
    )
    new = translated(old)
    assert new.model == {"_target_": "fer.models.network.timm_network", "weights": "fer.model.pth"}
    assert new.callbacks["all"][0]["_target_"] == "fer.models.lr_multipliers.Equal"
    assert new.callbacks["all"][0]["of"] == 3
    assert old.model["_target_"] == "fer.model.network.timm_network"


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
    assert other_settings(RunFolder(folder), wanted, []) == ""  # a sweep passes over it as done


def test_a_run_of_before_with_the_option_on_stays_apart(old_run: tuple[DictConfig, Path]) -> None:
    wanted, folder = old_run
    saved = OmegaConf.load(folder / "config.yaml")
    OmegaConf.update(saved, "data.match_sharpness", True)
    OmegaConf.save(saved, folder / "config.yaml")
    assert "match_sharpness" in other_settings(RunFolder(folder), wanted, ["data.match_sharpness=true"])
    assert RunFolder(folder).read_config().data.match_sharpness is True


def test_folds_of_before_resume_without_the_removed_key(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_overrides(["data=ckplus", "data.match_sharpness=false", "seed=1"])
    assert run.read_overrides() == ["data=ckplus", "seed=1"]


def test_a_resumed_run_may_have_another_logger(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    OmegaConf.save(tiny_config("logger=tensorboard"), tmp_path / "config.yaml")
    wanted = tiny_config("logger=csv", f"resume={tmp_path}")
    resumed = resumed_config(wanted, tmp_path, ["logger=csv", f"resume={tmp_path}"])
    assert list(resumed.logger) == ["csv"]


def test_the_data_of_a_run_of_before_are_known(old_run: tuple[DictConfig, Path]) -> None:
    arguments = run_data(RunFolder(old_run[1]))
    assert arguments is not None
    assert FERDataModule(**arguments).name == "fer2013"


def test_a_run_that_the_first_version_began_resumes_by_the_same_command(tmp_path: Path) -> None:
    """`first_version.yaml` is a config.yaml of 27 November 2026."""
    command = ["experiment=demo", "trainer.max_epochs=1", "trainer.limit_train_batches=5", "figures=false"]
    shutil.copy(Path(__file__).with_name("first_version.yaml"), tmp_path / "config.yaml")
    wanted = composed("train", *command)
    assert other_settings(RunFolder(tmp_path), wanted, command) == ""
    resumed = resumed_config(wanted, tmp_path, command)
    assert resumed.model.stem == RunFolder(tmp_path).read_config().model.stem == "default"
    resumed.model.stem = wanted.model.stem = "auto"
    assert resumed == wanted
    assert all(
        may_change(key) for key in differences(RunFolder(tmp_path).read_config(), resumed) if key != "model.stem"
    )
