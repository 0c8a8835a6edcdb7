"""From what is swept to jobs with names and folders."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from fer.data.datamodule import FERDataModule
from fer.errors import ConfigError
from fer.runs.folder import RunFolder
from fer.sweeps.grid import Job, check_finished, combinations, make_job, name_apart, parse
from fer.sweeps.sweeper import GridSweeper
from tests.composing import composed

CHOICES = {"model": "resnet18", "data": "demo"}


def load(overrides: list[str]) -> DictConfig:
    return composed("train", *overrides, hydra=True)


@pytest.fixture
def jobs(tmp_path: Path) -> Callable[..., list[Job]]:
    def make(*arguments: str) -> list[Job]:
        overrides = parse(arguments)
        made = [make_job(varied, overrides, tmp_path, CHOICES, load) for varied in combinations(overrides)]
        name_apart(made, tmp_path)
        return made

    return make


def sweep_arguments(name: str, *arguments: str) -> list[str]:
    """What a sweep file sweeps, then the command line."""
    single = [argument for argument in arguments if "," not in argument]
    params = load([f"sweep={name}", *single]).hydra.sweeper.params
    return [*(f"{key}={value}" for key, value in params.items()), f"sweep={name}", *arguments]


def test_the_study_is_every_model_on_every_data_set_for_each_seed() -> None:
    combined = combinations(parse(sweep_arguments("paper")))
    expected = {
        (model, data, str(seed))
        for model in ("resnet18", "resnet34", "resnet50")
        for data in ("fer2013", "ckplus")
        for seed in range(3)
    }
    assert {(varied["model"], varied["data"], varied["seed"]) for varied in combined} == expected
    assert len(combined) == len(expected)


def test_the_command_line_goes_before_a_sweeps_file(jobs: Callable) -> None:
    made = jobs(*sweep_arguments("paper", "seeds=2", "model=resnet18", "data=ckplus", "trainer.max_epochs=1"))
    assert [job.name for job in made] == ["resnet18_ckplus_seed0", "resnet18_ckplus_seed1"]
    assert [job.error for job in made] == [None, None]
    assert [(job.config.folds, job.config.trainer.max_epochs, job.config.data.image_size) for job in made] == [
        ("all", 1, 224)
    ] * 2
    assert not any("seeds" in job.config or "hydra" in job.config for job in made)


def test_all_folds_of_a_run_stand_below_it(jobs: Callable, tmp_path: Path) -> None:
    made = jobs(*sweep_arguments("ckplus_folds", "data.folds=2", "data.fold=1,0"))
    assert [job.name for job in made] == ["resnet18_ckplus_seed0/fold1", "resnet18_ckplus_seed0/fold0"]
    assert {job.folds_of for job in made} == {tmp_path / "resnet18_ckplus_seed0"}
    assert all(job.folder.path == tmp_path / job.name for job in made)
    assert len(combinations(parse(sweep_arguments("ckplus_folds")))) == 10


def test_some_folds_are_runs_like_others(jobs: Callable) -> None:
    made = jobs("data=ckplus", "data.fold=0,3")
    assert [job.name for job in made] == ["resnet18_ckplus_seed0_fold-0", "resnet18_ckplus_seed0_fold-3"]
    assert {job.folds_of for job in made} == {None}


def test_a_job_that_cannot_be_composed_fails_alone(jobs: Callable) -> None:
    good, bad = jobs("model=resnet18,resnet19", "trainer.max_epochs=1")
    assert good.error is None
    assert "resnet19" in str(bad.error)
    assert "resnet34" in str(bad.error)  # what there is
    assert "\n" not in str(bad.error)
    assert bad.name == "resnet19_demo_seed0"


def test_overrides_of_all_kinds_reach_the_job_as_they_were_given(jobs: Callable) -> None:
    kinds = ["~callbacks.progress", "+callbacks.more=null", "data.classes=[happy,sad]", "data.source='a b'", "seed=0,1"]
    first, second = jobs(*kinds)
    assert second.overrides[:-1] == kinds[:-1]
    assert (first.overrides[-1], second.overrides[-1]) == ("seed=0", "seed=1")


def test_two_jobs_never_share_a_folder(jobs: Callable) -> None:
    made = jobs("data.classes=[happy,sad],[happy-sad]", "data=demo")
    assert len({job.folder.path for job in made}) == 2


def test_an_interval_is_for_a_search(jobs: Callable) -> None:
    with pytest.raises(ConfigError, match="sweep=optuna"):
        jobs("optimizer.lr=interval(0,1)")


@pytest.mark.parametrize(
    ("again", "error"),
    [
        ([], None),
        (["data.source=/elsewhere"], None),
        (["trainer.max_epochs=7"], "trainer.max_epochs=7"),
        (["optimizer=sgd"], "optimizer"),
        (["module.ema_decay=0.999"], "module.ema_decay=0.999 (was None)"),
        (["trainer.limit_train_batches=3"], "trainer.limit_train_batches=3"),
        (["data.classes=[angry,happy]"], "data.classes="),
        (["callbacks=early_stopping"], "callbacks.early_stopping"),
        (["+trainer.gradient_clip_algorithm=value"], "gradient_clip_algorithm=value (was not set)"),
        (["trainer.precision=32-true"], "trainer.precision"),
        (["callbacks.progress=null", "figures=false", "trainer.accelerator=cpu"], None),
    ],
)
def test_a_finished_job_counts_only_with_the_same_settings(
    again: list[str], error: str | None, jobs: Callable, tmp_path: Path
) -> None:
    (before,) = jobs("data=demo")
    before.folder.path.mkdir(parents=True)
    before.folder.config_file.write_text(OmegaConf.to_yaml(before.config))
    (job,) = jobs("data=demo", *again)
    check_finished(job)
    assert job.error is None  # nothing stands there yet
    job.folder.metrics_file.write_text("{}")
    check_finished(job)
    assert (job.error is None) == (error is None)
    assert error is None or error in str(job.error)


@pytest.mark.parametrize(("given", "other"), [([], False), (["data.subject=x"], True), (["data.subject=null"], False)])
def test_a_key_that_an_older_version_had_not_counts_where_it_is_given(
    given: list[str], other: bool, jobs: Callable
) -> None:
    (before,) = jobs("data=demo")
    older = OmegaConf.to_container(before.config)
    del older["data"]["subject"]
    before.folder.path.mkdir(parents=True)
    before.folder.config_file.write_text(OmegaConf.to_yaml(older))
    before.folder.metrics_file.write_text("{}")
    (job,) = jobs("data=demo", *given)
    check_finished(job)
    assert (job.error is not None) == other


def test_a_sweep_of_nothing_is_one_line() -> None:
    with pytest.raises(ConfigError, match="nothing to run"):
        GridSweeper().make_jobs(parse(["seed=range(0,0)", "data=demo"]))


def test_folds_that_were_trained_again_are_pooled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, pooled = tmp_path / "run", []
    folds = [Job(f"run/fold{fold}", RunFolder(run).fold(fold), [], folds_of=run) for fold in range(2)]
    for number, job in enumerate(folds):
        job.folder.path.mkdir(parents=True)
        job.folder.metrics_file.write_text("{}")
        os.utime(job.folder.metrics_file, (number, number))
    (run / "metrics.json").write_text("{}")
    monkeypatch.setattr("fer.sweeps.sweeper._pool", lambda jobs: pooled.append(len(jobs)))
    grid = GridSweeper(compare=False)
    grid.finish(folds, folds)
    assert pooled == []
    os.utime(run / "metrics.json", (0, 0))
    grid.finish(folds, folds)
    assert pooled == [2]


def test_no_subject_is_on_both_sides_of_any_fold_that_runs(data_root: Path, jobs: Callable) -> None:
    tested: list[Any] = []
    (job,) = jobs("data=ckplus_contempt", f"data.root={data_root}")
    options = {key: value for key, value in job.config.data.items() if key not in ("_target_", "fold")}
    for fold in range(10):
        module = FERDataModule(**options, fold=fold)
        module.prepare_data()
        module.setup()
        sides = {split: set(module.pack.subjects[rows]) for split, rows in module.splits.items()}
        assert not sides["train"] & sides["test"]
        assert not sides["val"] & sides["test"]
        assert not sides["train"] & sides["val"]
        tested.append(module.splits["test"])
    assert np.array_equal(np.sort(np.concatenate(tested)), np.flatnonzero(module.labels >= 0))  # each image once
