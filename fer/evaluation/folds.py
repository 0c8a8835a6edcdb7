"""The folds of one protocol as one result: predictions pooled, for a fold alone is a handful of people."""

import csv
import json
import logging
import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fer.data.datamodule import FERDataModule
from fer.data.pack import open_pack
from fer.errors import FERError, RunError
from fer.evaluation.metric_table import compute_metrics, shown_in
from fer.evaluation.report import CALIBRATION, PREDICTIONS, SUBJECTS, write_outcome
from fer.evaluation.split_predictions import SplitPredictions
from fer.evaluation.trained_model import run_data
from fer.files import replacing, write_json
from fer.reporting.console import print_evaluation
from fer.reporting.figure_table import draw_figures, save_figures
from fer.reporting.report import write_report
from fer.runs.folder import METRICS

log = logging.getLogger(__name__)

FOLDS = "folds.csv"
HEADER = ["name", "label", "predicted", "loss"]  # of predictions.csv, before the classes
AS_IN_FIRST = ("parameters", "macs", "precision", "device")


@dataclass(frozen=True)
class Fold:
    """What the run folder of a fold says of its test images; row i of every array belongs to image i."""

    folder: Path
    classes: list[str]
    names: np.ndarray  # str [n]
    labels: np.ndarray  # int64 [n]
    logits: np.ndarray  # float32 [n, K], logarithms of the probabilities
    subjects: np.ndarray | None  # str [n]
    temperature: float
    metrics: dict[str, Any]
    data: dict[str, Any] | None  # arguments of FERDataModule

    @property
    def number(self) -> int | None:
        """Which fold it is; None where neither config nor folder say so."""
        if self.data is not None and self.data.get("folds"):
            return int(self.data["fold"])
        found = re.search(r"fold(\d+)$", self.folder.name)
        return int(found[1]) if found else None


def pool_folds(folders: Sequence[Path], folder: Path) -> dict[str, Any]:
    """Make one result of the finished runs of all folds.

    Args:
        folders: run folder of each fold.
        folder: gets `predictions.csv`, `subjects.csv`, `folds.csv`, figures, and `metrics.json` last.

    Returns:
        The content of `metrics.json`: under `test/` the numbers of all images pooled, with the interval of the
        accuracy over subjects; `test/accuracy_folds_mean` and `_folds_sd` over folds; under `val/` means over folds;
        `folds`, a row each.

    Raises:
        RunError: a fold that is not finished, other classes, an image or a subject that two folds test.
    """
    whole, metrics = pool(folders)
    write_outcome(folder, whole)
    save_figures(draw_figures(whole), folder / "figures")
    write_table(folder / FOLDS, metrics["folds"])
    write_report(folder, metrics)
    write_json(folder / METRICS, metrics)
    print_evaluation(metrics, folder)
    return metrics


def pool(folders: Sequence[Path]) -> tuple[SplitPredictions, dict[str, Any]]:
    """The folds' test images together, and the metrics; nothing is written. See `pool_folds`."""
    folds = [read_fold(Path(each)) for each in folders]
    if not folds:
        raise RunError("there are no folds to pool")
    whole, metrics = pool_read(folds)
    return whole, metrics | _course(folds)


def pool_read(folds: Sequence[Fold]) -> tuple[SplitPredictions, dict[str, Any]]:
    """The test images of folds together, and the numbers that are made of them alone.

    Raises:
        RunError: other classes, an image or a subject that two folds test.
    """
    classes = folds[0].classes
    for fold in folds:
        if fold.classes != classes:
            raise RunError(f"{fold.folder} tells other classes apart than {folds[0].folder}: they cannot be pooled")
    _check_exclusive(folds)
    whole = _pooled(folds)
    metrics = {
        **{f"test/{name}": value for name, value in whole.metrics.items()},
        **_spread(folds),
        "classes": classes,
        "split": whole.split,
        "folds": [_row(fold) for fold in folds],
    }
    return whole, metrics


def read_fold(folder: Path) -> Fold:
    """Read the finished run of a fold.

    Raises:
        RunError: not finished, or files that are not what a run writes.
    """
    for name in (METRICS, PREDICTIONS):
        if not (folder / name).exists():
            raise RunError(f"{folder} has no {name}: that fold is not finished; give the same command again")
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        calibration = folder / CALIBRATION
        temperature = json.loads(calibration.read_text(encoding="utf-8"))["temperature"] if calibration.exists() else 1
        with (folder / PREDICTIONS).open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        classes = header[len(HEADER) :]
        if header[: len(HEADER)] != HEADER or not rows:
            raise ValueError(f"{PREDICTIONS} has no rows, or other columns")
        names, labels, predicted, _, *shares = zip(*rows, strict=True)
        logits = _logits(np.array(shares, dtype=np.float64).T, [classes.index(emotion) for emotion in predicted])
        people = _subjects(folder / SUBJECTS)
        return Fold(
            folder,
            classes,
            np.array(names),
            np.array([classes.index(emotion) for emotion in labels], dtype=np.int64),
            logits,
            None if people is None else np.array([people[name] for name in names]),
            float(temperature),
            metrics,
            run_data(folder),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder} is damaged ({error}); remove it and give the same command again") from error


def _logits(probabilities: np.ndarray, predicted: list[int]) -> np.ndarray:
    """Logarithms of probabilities written with six digits, float32 [n, K]; the prediction stays the largest."""
    logits = np.log(np.maximum(probabilities, 1e-300)).astype(np.float32)
    rows = np.arange(len(logits))
    tied = logits.argmax(axis=1) != predicted
    logits[rows[tied], np.array(predicted)[tied]] = np.nextafter(logits[tied].max(axis=1), np.float32(np.inf))
    return logits


def _subjects(file: Path) -> dict[str, str] | None:
    if not file.exists():
        return None
    with file.open(newline="", encoding="utf-8") as content:
        return {row["name"]: row["subject"] for row in csv.DictReader(content)}


def _check_exclusive(folds: Sequence[Fold]) -> None:
    """Raises RunError where two folds test the same image or the same person."""
    for what, columns in (
        ("image", [np.unique(fold.names) for fold in folds]),
        ("subject", [np.unique(fold.subjects) for fold in folds if fold.subjects is not None]),
    ):
        tested = Counter(np.concatenate(columns).tolist()) if columns else Counter()
        twice = [name for name, count in tested.items() if count > 1]
        if twice:
            raise RunError(f"{what} {twice[0]} is tested in two folds ({len(twice)} in all): these are no folds of one")
    if any(len(np.unique(fold.names)) < len(fold.names) for fold in folds):
        raise RunError(f"a fold of {folds[0].folder.parent} tests an image twice")


def _pooled(folds: Sequence[Fold]) -> SplitPredictions:
    subjects = None
    if all(fold.subjects is not None for fold in folds):
        subjects = np.concatenate([fold.subjects for fold in folds if fold.subjects is not None])
    logits, labels = (np.concatenate([getattr(fold, name) for fold in folds]) for name in ("logits", "labels"))
    names = np.concatenate([fold.names for fold in folds])
    temperatures = np.concatenate([np.full(len(fold.names), fold.temperature) for fold in folds])
    data = folds[0].data
    whole = SplitPredictions(
        classes=folds[0].classes,
        logits=logits,
        labels=labels,
        names=names,
        subjects=subjects,
        images=_images(data, names),
        temperature=temperatures,
        data=f"{'data' if data is None else data['name']}, {len(folds)} folds",
    )
    numbers = compute_metrics(whole)
    for name, without in (("twins", "accuracy_deduplicated"), ("near_twins", "accuracy_without_near_twins")):
        numbers |= _without(folds, name, without)
    for name in ("images_of_unknown_classes", "images_trained_on"):
        numbers[name] = sum(fold.metrics.get(f"test/{name}") or 0 for fold in folds)
    return replace(whole, metrics=numbers)


def _without(folds: Sequence[Fold], twins: str, accuracy: str) -> dict[str, Any]:
    """Twins of all folds, and the accuracy without them; each fold knows its own, for each trained on other images."""
    counts = [fold.metrics.get(f"test/{twins}") for fold in folds]
    if None in counts:
        return {twins: None, accuracy: None}
    left = [len(fold.names) - (count or 0) for fold, count in zip(folds, counts, strict=True)]
    right = sum((fold.metrics.get(f"test/{accuracy}") or 0) * some for fold, some in zip(folds, left, strict=True))
    pooled = right / sum(left) if sum(left) else None
    return {twins: sum(count or 0 for count in counts), accuracy: pooled}


def _spread(folds: Sequence[Fold]) -> dict[str, Any]:
    """Mean and standard deviation of the test numbers over folds."""
    numbers: dict[str, Any] = {}
    for name in (metric.key for metric in shown_in("folds_spread")):
        values = [value for fold in folds if (value := fold.metrics.get(f"test/{name}")) is not None]
        if not values:  # a metric that the folds' version did not have
            continue
        numbers[f"test/{name}_folds_mean"] = statistics.fmean(values)
        numbers[f"test/{name}_folds_sd"] = statistics.stdev(values) if len(values) > 1 else None
    return numbers


def _course(folds: Sequence[Fold]) -> dict[str, Any]:
    """Of the trainings: means of the validation numbers, cost of all folds together."""
    numbers: dict[str, Any] = {}
    for name, value in folds[0].metrics.items():
        values: list[Any] = [fold.metrics.get(name) for fold in folds]
        if name.startswith("val/") and isinstance(value, float) and all(isinstance(v, float) for v in values):
            numbers[name] = statistics.fmean(values)
    every = {name: [fold.metrics.get(name) for fold in folds] for name in ("train_seconds", "peak_memory_bytes")}
    numbers["train_seconds"] = sum(value or 0 for value in every["train_seconds"])
    numbers["peak_memory_bytes"] = max((value for value in every["peak_memory_bytes"] if value), default=None)
    speeds = [speed for fold in folds if (speed := fold.metrics.get("train_images_per_second"))]
    numbers["train_images_per_second"] = statistics.fmean(speeds) if speeds else None
    numbers["best_epoch"] = None  # each fold has its own
    return numbers | {name: folds[0].metrics.get(name) for name in AS_IN_FIRST}


def _row(fold: Fold) -> dict[str, Any]:
    numbers = {metric.key: fold.metrics.get(f"test/{metric.key}") for metric in shown_in("folds")}
    row = {"fold": fold.number, "folder": fold.folder.name, **numbers, "temperature": fold.temperature}
    return row | {name: fold.metrics[name] for name in ("best_epoch", "train_seconds") if name in fold.metrics}


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write `folds.csv`."""
    with replacing(path) as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _images(data: dict[str, Any] | None, names: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """The images of the names, where the pack that the folds were trained from is at hand."""
    if data is None:
        return None
    try:
        datamodule = FERDataModule(**{**data, "source": None})
        pack = open_pack(Path(datamodule.root) / datamodule.pack_name)
        row_of = {name: row for row, name in enumerate(pack.names.tolist())}
        rows = np.array([row_of[name] for name in names.tolist()])
    except (FERError, TypeError, KeyError):
        log.info("the pack of the folds is not at hand: figures go without faces")
        return None
    images = pack.images
    return lambda positions: images[rows[positions]]
