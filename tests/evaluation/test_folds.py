"""The folds of a protocol pooled: each image once, with what its own fold said of it."""

import csv
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from fer.data.datamodule import FERDataModule
from fer.data.pack import open_pack
from fer.errors import RunError
from fer.evaluation.folds import pool_folds, read_fold
from fer.evaluation.intervals import accuracy_interval
from fer.evaluation.metric_table import compute_metrics
from fer.evaluation.split_predictions import SplitPredictions, softmax
from fer.reporting.write import write_evaluation
from fer.runs.folder import RunFolder
from fer.runs.tables import write_columns

FOLDS = 3
TEMPERATURES = (0.5, 1.0, 2.0)


def write_fold(folder: Path, outcome: SplitPredictions, **changes: Any) -> Path:
    """What pooling reads of a run folder."""
    folder.mkdir(parents=True)
    twins = np.arange(len(outcome)) < 2
    numbers = compute_metrics(replace(outcome, temperature=1.0, exact_duplicates=twins, near_duplicates=twins))
    metrics = {f"{split}/{name}": value for split in ("val", "test") for name, value in numbers.items()}
    metrics |= {"best_epoch": 3, "train_seconds": 10.0, "peak_memory_bytes": 5, "parameters": 7, "macs": 9} | changes
    RunFolder(folder).write_predictions(outcome.table())
    (folder / "calibration.json").write_text(json.dumps({"temperature": outcome.temperature}))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def outcome_of(data: FERDataModule, fold: int, **changes: Any) -> SplitPredictions:
    rows = data.splits["test"]
    labels = data.labels[rows]
    noise = np.random.default_rng(fold).normal(size=(len(rows), len(data.classes)))
    facts = {
        "classes": data.classes,
        "logits": (noise + 2 * np.eye(len(data.classes))[labels]).astype(np.float32),
        "labels": labels,
        "names": data.pack.names[rows],
        "subjects": data.pack.subjects[rows],
        "images": None,
        "temperature": TEMPERATURES[fold],
    }
    return SplitPredictions(**facts | changes)


@pytest.fixture(scope="module")
def outcomes(data_root: Path) -> list[SplitPredictions]:
    """What three folds of the look-alike of CK+ might say."""
    made = []
    for fold in range(FOLDS):
        data = FERDataModule("ckplus", root=str(data_root), folds=FOLDS, fold=fold)
        data.setup()
        made.append(outcome_of(data, fold))
    return made


@pytest.fixture
def folders(outcomes: list[SplitPredictions], data_root: Path, tmp_path: Path) -> list[Path]:
    written = [write_fold(tmp_path / f"fold{fold}", outcome) for fold, outcome in enumerate(outcomes)]
    for fold, folder in enumerate(written):
        data = {"_target_": "fer.data.datamodule.FERDataModule", "name": "ckplus", "root": str(data_root)}
        OmegaConf.save({"data": data | {"folds": FOLDS, "fold": fold}}, folder / "config.yaml")
    return written


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_folds_become_one_result(folders, outcomes, data_root, tmp_path):
    evaluation = pool_folds(folders)
    write_evaluation(evaluation, RunFolder(tmp_path))
    metrics = evaluation.metrics
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics

    rows = read(tmp_path / "predictions.csv")
    pack = open_pack(data_root / "ckplus")
    asked = [name for name, emotion in zip(pack.names, pack.emotions, strict=True) if emotion != "contempt"]
    assert sorted(row["name"] for row in rows) == sorted(asked)  # each image of the protocol, once
    of_folds = [row for folder in folders for row in read(folder / "predictions.csv")]
    for name in ("name", "label", "predicted"):
        assert [row[name] for row in rows] == [row[name] for row in of_folds]
    assert [float(row["loss"]) for row in rows] == pytest.approx([float(row["loss"]) for row in of_folds], rel=1e-5)
    subject_of = dict(zip(pack.names.tolist(), pack.subjects.tolist(), strict=True))
    people = read(tmp_path / "subjects.csv")
    assert [row["name"] for row in people] == [row["name"] for row in rows]
    assert all(subject_of[row["name"]] == row["subject"] for row in people)

    correct = np.concatenate([outcome.correct for outcome in outcomes])
    subjects = np.concatenate([outcome.subjects for outcome in outcomes])
    assert metrics["test/accuracy"] == correct.mean()
    assert metrics["test/accuracy_ci95"] == accuracy_interval(correct, subjects)
    assert metrics["test/subjects"] == len(np.unique(pack.subjects))
    own = [metric["test/accuracy"] for metric in map(_metrics, folders)]
    assert metrics["test/accuracy_folds_mean"] == pytest.approx(statistics.fmean(own))
    assert metrics["test/accuracy_folds_sd"] == pytest.approx(statistics.stdev(own))
    assert metrics["val/accuracy"] == pytest.approx(statistics.fmean(own))
    assert (metrics["train_seconds"], metrics["parameters"], metrics["best_epoch"]) == (30, 7, None)

    table = metrics["folds"]
    assert [(row["fold"], row["folder"]) for row in table] == [(0, "fold0"), (1, "fold1"), (2, "fold2")]
    assert [row["accuracy"] for row in table] == own
    assert [row["fold"] for row in read(tmp_path / "folds.csv")] == ["0", "1", "2"]
    assert {"confusion_matrix.png", "top_losses.png"} <= {path.name for path in (tmp_path / "figures").iterdir()}


def _metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def test_each_fold_keeps_its_own_temperature(folders, outcomes):
    metrics = pool_folds(folders).metrics
    calibrated = np.concatenate([softmax(outcome.logits, outcome.temperature) for outcome in outcomes])
    labels = np.concatenate([outcome.labels for outcome in outcomes])
    of_labels = calibrated[np.arange(len(labels)), labels]
    assert metrics["test/nll_calibrated"] == pytest.approx(-np.log(of_labels).mean(), rel=1e-4)
    assert metrics["test/nll"] != metrics["test/nll_calibrated"]


def test_twins_are_left_out_fold_by_fold(folders, outcomes):
    """Here the first two images of each fold have one."""
    metrics = pool_folds(folders).metrics
    unique = np.concatenate([outcome.correct[2:] for outcome in outcomes])
    assert metrics["test/twins"] == 2 * FOLDS
    assert metrics["test/accuracy_deduplicated"] == pytest.approx(unique.mean())


def test_a_subject_in_two_folds_is_refused(folders, outcomes):
    table = read(folders[1] / "subjects.csv")
    names = np.array([row["name"] for row in table])
    subjects = np.array([row["subject"] for row in table], dtype=object)
    subjects[0] = outcomes[0].subjects[0]
    write_columns(folders[1] / "subjects.csv", names, {"subject": subjects})
    with pytest.raises(RunError, match=f"subject {outcomes[0].subjects[0]} is tested in two folds"):
        pool_folds(folders)


def test_an_image_in_two_folds_is_refused(folders):
    lines = (folders[0] / "predictions.csv").read_text().splitlines()
    for folder in folders:
        (folder / "subjects.csv").unlink()
    with (folders[1] / "predictions.csv").open("a") as file:
        file.write(lines[1] + "\n")
    with pytest.raises(RunError, match=r"image .* is tested in two folds"):
        pool_folds(folders)


@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv"])
def test_a_fold_that_is_not_finished_is_named(folders, name):
    (folders[2] / name).unlink()
    with pytest.raises(RunError, match=f"fold2 has no {name}: that fold is not finished"):
        pool_folds(folders)


@pytest.mark.parametrize(
    "content", ["", "name,label\n", "name,label,predicted,loss,angry,happy\na,angry,smug,1,0.5,0.5\n"]
)
def test_a_damaged_fold_is_named(folders, content):
    (folders[1] / "predictions.csv").write_text(content)
    with pytest.raises(RunError, match="fold1 is damaged"):
        pool_folds(folders)


def test_folds_with_other_classes_are_refused(folders, outcomes):
    header, *rows = (folders[1] / "predictions.csv").read_text().splitlines()
    (folders[1] / "predictions.csv").write_text("\n".join([f"{header},contempt", *(f"{row},0" for row in rows)]))
    with pytest.raises(RunError, match="other classes"):
        pool_folds(folders)


def test_without_a_pack_or_subjects_there_are_still_numbers(folders, outcomes):
    for folder in folders:
        (folder / "config.yaml").unlink()
        (folder / "subjects.csv").unlink()
    metrics = pool_folds(folders).metrics
    correct = np.concatenate([outcome.correct for outcome in outcomes])
    assert metrics["test/accuracy_ci95"] == accuracy_interval(correct)
    assert metrics["test/subjects"] is None
    assert [row["fold"] for row in metrics["folds"]] == [0, 1, 2]  # by their folders


def test_a_prediction_that_rounding_ties_stays_the_prediction(tmp_path, outcomes):
    logits = np.zeros((1, 6), dtype=np.float32)
    logits[0, 4] = 1e-7
    tied = outcome_of_one(outcomes[0], logits)
    fold = read_fold(RunFolder(write_fold(tmp_path / "tied", tied))).predictions
    assert tied.predicted.tolist() == fold.logits.argmax(axis=1).tolist() == [4]
    assert torch.from_numpy(fold.logits).softmax(dim=1).numpy() == pytest.approx(tied.probabilities, abs=1e-5)


def outcome_of_one(like: SplitPredictions, logits: np.ndarray) -> SplitPredictions:
    return SplitPredictions(like.classes, logits, np.array([0]), np.array(["a"]), None, None)
