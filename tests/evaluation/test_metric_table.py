"""A metric is a function and a row: every summary, report, dashboard, fold table and comparison then shows it."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fer.comparison.groups import Group
from fer.comparison.report import results_table
from fer.comparison.result import Entry, write_rows, write_runs
from fer.evaluation import metric_table
from fer.evaluation.evaluation import Evaluation
from fer.evaluation.folds import pool_folds
from fer.evaluation.metric_table import METRICS, Metric, compute_metrics
from fer.evaluation.split_predictions import SplitPredictions
from fer.reporting.tensorboard import hparams_tags, result_table
from fer.reporting.write import print_evaluation, write_evaluation
from fer.runs.finished import Run
from fer.runs.folder import RunFolder

EVERYWHERE = ("console", "report", "tensorboard", "hparams", "folds", "folds_spread", "comparison", "comparison_page")


def top2_accuracy(predictions: SplitPredictions) -> float:
    """Share of images whose class is among the two most probable ones."""
    best = np.argsort(-predictions.logits, axis=1)[:, :2]
    return float((best == predictions.labels[:, None]).any(axis=1).mean())


def mean_probability(predictions: SplitPredictions) -> np.ndarray:
    """Of each class over its images, float [K]."""
    return np.array([predictions.probabilities[predictions.labels == k, k].mean() for k in range(3)])


@pytest.fixture
def predictions() -> SplitPredictions:
    labels = np.arange(30) % 3
    logits = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    names = np.array([f"{n}.png" for n in labels.cumsum() * 100 + np.arange(30)])
    return SplitPredictions(["angry", "happy", "sad"], logits, labels, names, None, None)


@pytest.fixture
def more_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        Metric("top2", "top-2 accuracy", top2_accuracy, ".1%", EVERYWHERE),
        Metric("sureness", "mean probability", mean_probability, ".3f", ("console", "report"), per_class=True),
    )
    monkeypatch.setattr(metric_table, "METRICS", (*METRICS, *rows))


def of_split(predictions: SplitPredictions) -> dict:
    return {f"{predictions.split}/{name}": value for name, value in compute_metrics(predictions).items()}


@pytest.mark.usefixtures("more_metrics")
def test_a_new_metric_is_shown_everywhere(predictions: SplitPredictions, tmp_path: Path) -> None:
    metrics = of_split(predictions) | of_split(replace(predictions, split="val")) | {"best_epoch": 1}
    value, happy = top2_accuracy(predictions), mean_probability(predictions)[1]
    assert (metrics["test/top2"], metrics["test/sureness_happy"]) == (value, happy)

    printed = io.StringIO()
    print_evaluation(metrics, RunFolder(tmp_path), Console(file=printed, width=120))
    assert f"{value:.1%}" in next(line for line in printed.getvalue().splitlines() if "top-2 accuracy" in line)
    assert "mean probability" in printed.getvalue()
    assert f"| top-2 accuracy | {value:.1%} | {value:.1%} |" in result_table(metrics)
    assert hparams_tags()["result/test_top2"] == "test/top2"

    folds = []
    for number, rows in enumerate(np.split(np.arange(30), 2)):
        columns = {name: getattr(predictions, name)[rows] for name in ("logits", "labels", "names")}
        of_fold = replace(predictions, **columns)
        folds.append(RunFolder(tmp_path / f"fold{number}"))
        write_evaluation(Evaluation(of_fold, of_split(of_fold)), folds[-1], figures=False)
    pooled = pool_folds(folds)
    write_evaluation(pooled, RunFolder(tmp_path), figures=False)
    assert pooled.metrics["test/top2"] == pytest.approx(value)
    assert pooled.metrics["test/top2_folds_mean"] == pytest.approx(value)
    with RunFolder(tmp_path).folds_file.open(newline="") as content:
        assert len({row["top2"] for row in csv.DictReader(content)}) == 2
    report = RunFolder(tmp_path).report_file.read_text()
    assert "top-2 accuracy" in report
    assert f"{happy:.3f}" in report

    run = Run(tmp_path, "run", {"seed": 0}, metrics, None)
    entry = Entry(Group("resnet", "resnet", "demo", "demo", ["angry", "happy", "sad"], [run], {}), None, None)
    write_rows(tmp_path / "comparison.csv", [entry])
    write_runs(tmp_path / "runs.csv", [entry])
    for file, column in (("comparison.csv", "test/top2_mean"), ("runs.csv", "test/top2")):
        with (tmp_path / file).open(newline="") as content:
            assert float(next(csv.DictReader(content))[column]) == pytest.approx(value)
    table = results_table([entry])
    assert table.rows[0][table.headings.index("top-2 accuracy")] == f"{value:.1%}"


def test_a_run_of_an_earlier_version_has_no_row_for_what_it_lacks() -> None:
    rows = metric_table.result_rows("report", {"test/accuracy": 0.5, "test/nll": None}, ["val", "test"])
    assert rows == [["accuracy", "–", "50.00%"], ["negative log-likelihood", "–", "–"]]


def test_an_interval_that_cannot_be_estimated_is_no_dash() -> None:
    metrics = {"test/accuracy_ci95": None, "val/accuracy_ci95": [0.5, 0.75]}
    assert metric_table.result_rows("console", metrics, ["train", "val", "test"]) == [
        ["95 % interval", "–", "50.0% to 75.0%", "not estimable"]
    ]


def test_every_key_is_there_once() -> None:
    keys = [metric.key for metric in METRICS]
    assert len(set(keys)) == len(keys)
