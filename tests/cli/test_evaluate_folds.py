"""Runs of all folds asked anew: each model on the people of its fold alone, with other views, and in votes."""

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fer.cli.evaluate import evaluate
from fer.comparison.groups import group_runs
from fer.comparison.result import transfers
from fer.errors import ConfigError, RunError
from fer.evaluation.folds import pool_folds
from fer.reporting.write import write_evaluation
from fer.runs.finished import find_runs
from fer.training.train import train
from tests.composing import composed

FOLDS = 2


def asked(*overrides: str) -> dict[str, Any]:
    return evaluate(composed("evaluate", "figures=false", *overrides), None, overrides)


@pytest.fixture(scope="module")
def runs(tiny_overrides: list[str], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seeds of two folds each, finished and pooled."""
    place, made = tmp_path_factory.mktemp("runs"), []
    for seed in range(2):
        run = place / f"seed{seed}"
        for fold in range(FOLDS):
            data = [
                "data=ckplus",
                "data.source=null",
                f"data.root={data_root}",
                f"data.folds={FOLDS}",
                f"data.fold={fold}",
            ]
            short = ["trainer.max_epochs=1", "trainer.limit_train_batches=2"]
            more = [*data, "data.batch_size=8", *short, f"seed={seed}"]
            train(composed("train", *tiny_overrides, *more), run / f"fold{fold}")
        shutil.copy(run / "fold0" / "config.yaml", run / "config.yaml")
        write_evaluation(pool_folds([run / f"fold{fold}" for fold in range(FOLDS)]), run, figures=False)
        made.append(run)
    return made


def shares(folder: Path) -> dict[str, np.ndarray]:
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["name"]: np.array([float(value) for value in list(row.values())[4:]]) for row in rows}


def test_the_run_gives_its_own_numbers_again(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    own = json.loads((runs[0] / "metrics.json").read_text())
    again = asked(f"checkpoint={runs[0]}")
    folder = runs[0] / "evaluations" / "ckplus_test"
    assert json.loads((folder / "metrics.json").read_text()) == again
    assert str(folder / "metrics.json") in capsys.readouterr().out
    for name in ("accuracy", "accuracy_ci95", "macro_f1", "subjects", "accuracy_folds_mean", "images_trained_on"):
        assert again[f"test/{name}"] == own[f"test/{name}"], name
    assert again["test/nll_calibrated"] == pytest.approx(own["test/nll_calibrated"], rel=1e-4)
    for row, before in zip(again["folds"], own["folds"], strict=True):
        assert all(row[key] == before[key] for key in ("fold", "images", "accuracy", "temperature"))
    assert (again["checkpoint"], again["data"]) == (str(runs[0]), "ckplus")
    assert (again["fold"], again["temperature"]) == (None, None)
    assert "train_seconds" not in again
    assert (folder / "folds.csv").read_text().splitlines()[0].endswith("temperature")
    report = (folder / "report.html").read_text()
    assert "of all 2 folds" in report
    assert f"evaluate.py checkpoint={runs[0]}<" in report
    assert "subjects.csv" in {path.name for path in folder.iterdir()}


def test_views_and_votes_count_fold_by_fold(runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flipped = asked(f"checkpoint={runs[0]}", "tta=flip")
    assert (runs[0] / "evaluations" / "ckplus_test_flip" / "metrics.json").exists()
    assert flipped["test/images"] == 72
    plain, seen = shares(runs[0]), shares(runs[0] / "evaluations" / "ckplus_test_flip")
    assert plain.keys() == seen.keys()
    assert any(abs(plain[name] - seen[name]).max() > 1e-4 for name in plain)

    monkeypatch.chdir(tmp_path)
    voted = asked(f"checkpoint=[{runs[0]},{runs[1]}]")
    assert voted["checkpoint"] == [str(run) for run in runs]
    (folder,) = (tmp_path / "outputs" / "evaluations").iterdir()
    votes = shares(folder)
    for fold in range(FOLDS):
        of_each = []
        for run in runs:
            temperature = json.loads((run / f"fold{fold}" / "calibration.json").read_text())["temperature"]
            calibrated = {name: row ** (1 / temperature) for name, row in shares(run / f"fold{fold}").items()}
            of_each.append({name: row / row.sum() for name, row in calibrated.items()})
        for name in of_each[0]:
            assert votes[name] == pytest.approx((of_each[0][name] + of_each[1][name]) / 2, abs=1e-4)


def test_a_temperature_is_fitted_on_validation_images_of_the_fold_alone(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every image is asked for, but those of training and test have no say in the temperature."""
    fitted: list[int] = []
    monkeypatch.setattr(
        "fer.evaluation.evaluate.fit_temperature", lambda logits, labels: fitted.append(len(labels)) or 1.0
    )
    fold = runs[0] / "fold0"
    whole = asked(f"checkpoint={fold}", "split=all", "tta=flip")
    assert whole["temperature_fitted_on"] == "validation images, evaluated the same way"
    assert fitted == [json.loads((fold / "metrics.json").read_text())["val/images"]]


def test_an_evaluation_of_a_runs_own_folds_is_no_transfer(runs: list[Path]) -> None:
    asked(f"checkpoint={runs[0]}")
    found, _ = find_runs([runs[0]])
    assert any(run.transfers for run in found)
    groups, _ = group_runs(found)
    assert transfers([SimpleNamespace(group=group) for group in groups]) is None  # type: ignore[misc]


def test_what_folds_cannot_answer_is_one_line(runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(runs[1], tmp_path / "three")
    config = tmp_path / "three" / "fold0" / "config.yaml"
    config.write_text(config.read_text().replace("folds: 2", "folds: 3"))
    for overrides, told in (
        ([f"checkpoint=[{runs[0]},{runs[1]}/fold0]"], "they cannot vote"),
        ([f"checkpoint={runs[0]}", "data=fer2013"], "leave out data= and split="),
        ([f"checkpoint={runs[0]}", "split=val"], "leave out data= and split="),
        ([f"checkpoint={runs[0]}", "data.fold=1"], f"checkpoint={runs[0]}/fold0"),
        ([f"checkpoint={runs[0]}", "data.folds=3"], "other folds than"),
        ([f"checkpoint={runs[0]}", "data.subject=x"], "other folds than"),
        ([f"checkpoint=[{runs[0]},{tmp_path}/three]"], "have folds 2 and 3: they cannot vote"),
    ):
        with pytest.raises(ConfigError, match=told):
            asked(*overrides)
    shutil.copytree(runs[0], tmp_path / "half")
    (tmp_path / "half" / "fold1" / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"fold 1 of 2 in .*half is not finished; resume with: .* resume="):
        asked(f"checkpoint={tmp_path / 'half'}")
