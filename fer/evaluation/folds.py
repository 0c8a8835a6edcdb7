"""The folds of one protocol pooled to one evaluation: a fold alone is only a handful of people."""

import logging
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from fer.data.datamodule import FERDataModule
from fer.data.pack import open_pack
from fer.errors import ConfigError, FERError, RunError
from fer.evaluation.evaluate import evaluate_models, given_checkpoints
from fer.evaluation.evaluation import Evaluation
from fer.evaluation.metric_table import compute_metrics, shown_in
from fer.evaluation.split_predictions import SplitPredictions
from fer.evaluation.trained_model import TrainedModel, run_data
from fer.runs.folder import RunFolder

log = logging.getLogger(__name__)

SAME_IN_ALL_FOLDS = ("parameters", "macs", "precision", "device")  # of the training
SAME_QUESTION = ("trained_on", "tta", "temperature_fitted_on", "image_size", "precision", "device")  # of evaluate.py
IDENTITY = ("pack_sha256", "data_source", "commit", "dirty", "versions", "threads")  # facts of the data and the code
FOLD_KEYS = ("fold", "folds", "subject", "name", "pack")  # of the data: they decide who is tested where


@dataclass(frozen=True)
class Fold:
    """The predictions for the test images of one fold, and the metrics of its run or evaluation."""

    folder: RunFolder
    predictions: SplitPredictions
    temperature: float
    metrics: dict[str, Any]
    data: dict[str, Any] | None  # arguments of FERDataModule

    @property
    def number(self) -> int | None:
        """Which fold it is; None where neither config nor folder say so."""
        if self.data is not None and self.data.get("folds"):
            return int(self.data["fold"])
        return self.folder.fold_number

    def row(self) -> dict[str, Any]:
        """Of the table of folds."""
        shown = {metric.key: self.metrics.get(f"test/{metric.key}") for metric in shown_in("folds")}
        row = {"fold": self.number, "folder": self.folder.name, **shown, "temperature": self.temperature}
        return row | {name: self.metrics[name] for name in ("best_epoch", "train_seconds") if name in self.metrics}


def pool_folds(folders: Sequence[RunFolder | Path]) -> Evaluation:
    """Pool the finished runs of all folds.

    Args:
        folders: run folder of each fold.

    Returns:
        Under `test/` the metrics of all test images together, with the interval of the accuracy over subjects;
        `test/accuracy_folds_mean` and `_folds_sd` over folds; under `val/` means over folds; `folds`, a row each.

    Raises:
        RunError: a fold that is not finished, different classes, an image or a subject that two folds test.
    """
    folds = [read_fold(folder if isinstance(folder, RunFolder) else RunFolder(folder)) for folder in folders]
    if not folds:
        raise RunError("there are no folds to pool")
    return _pooled(folds).with_metrics(_training_metrics(folds))


def read_fold(folder: RunFolder) -> Fold:
    """Read the finished run of a fold.

    Raises:
        RunError: not finished, or files that are not what a run writes.
    """
    for file in (folder.metrics_file, folder.predictions_file):
        if not file.exists():
            raise RunError(f"{folder} has no {file.name}: that fold is not finished; give the same command again")
    try:
        table, temperature = folder.read_predictions(), folder.read_temperature() or 1.0
        if folder.subjects_file.exists() and table.subjects is None:
            raise ValueError(f"{folder.subjects_file.name} lacks people of some images")
        subjects = table.subjects if folder.subjects_file.exists() else None
        predictions = replace(SplitPredictions.of_table(table), subjects=subjects, temperature=temperature,
                              set_threshold=folder.read_set_threshold())  # fmt: skip
        return Fold(folder, predictions, temperature, folder.read_metrics(), run_data(folder))
    except (RunError, ValueError) as error:
        raise RunError(f"{folder} is damaged ({error}); remove it and give the same command again") from error


def _pooled(folds: Sequence[Fold]) -> Evaluation:
    """The test images of all folds together, with the metrics that are computed from them alone.

    Raises:
        RunError: different classes, an image or a subject that two folds test.
    """
    classes = folds[0].predictions.classes
    for fold in folds:
        if fold.predictions.classes != classes:
            raise RunError(f"{fold.folder} has other classes than {folds[0].folder}: they cannot be pooled")
    _check_exclusive(folds)
    parts, data = [fold.predictions for fold in folds], folds[0].data
    logits, labels, names = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("logits", "labels", "names")
    )
    whole = SplitPredictions(
        classes=classes,
        logits=logits,
        labels=labels,
        names=names,
        subjects=_joined([part.subjects for part in parts]),
        images=_images(data, names),
        temperature=np.concatenate([np.full(len(fold.predictions), fold.temperature) for fold in folds]),
        set_threshold=_joined([_of_each(part.set_threshold, len(part)) for part in parts]),
        folds=np.repeat(np.arange(len(folds)), [len(part) for part in parts]),
        exact_duplicates=_joined([part.exact_duplicates for part in parts]),
        near_duplicates=_joined([part.near_duplicates for part in parts]),
        photographs=_joined([part.photographs for part in parts]),
        groups={
            attribute: np.concatenate([part.groups[attribute] for part in parts])
            for attribute in parts[0].groups
            if all(attribute in part.groups for part in parts)
        },
        data=f"{'data' if data is None else data['name']}, {len(folds)} folds",
    )
    metrics = compute_metrics(whole) | _leakage(folds)
    rows = [fold.row() for fold in folds]
    facts = {"classes": classes, "split": whole.split, "folds": rows} | {
        name: _common(folds, name) for name in IDENTITY
    }
    return Evaluation(whole, {f"test/{name}": value for name, value in metrics.items()} | _spread(folds) | facts)


def _common(folds: Sequence[Fold], name: str) -> Any:
    """A fact of all folds; None where they differ, or one lacks it."""
    values = [fold.metrics.get(name) for fold in folds]
    return values[0] if all(value == values[0] for value in values) else None


def _of_each(value: float | np.ndarray | None, count: int) -> np.ndarray | None:
    """One value for each of so many images."""
    return None if value is None else np.full(count, value)


def _joined(columns: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """One column of all folds; None where a fold lacks it."""
    known = [column for column in columns if column is not None]
    return np.concatenate(known) if len(known) == len(columns) else None


def _check_exclusive(folds: Sequence[Fold]) -> None:
    """Raises RunError where two folds test the same image or the same person."""
    parts = [fold.predictions for fold in folds]
    for what, columns in (
        ("image", [np.unique(part.names) for part in parts]),
        ("subject", [np.unique(part.subjects) for part in parts if part.subjects is not None]),
    ):
        tested = Counter(np.concatenate(columns).tolist()) if columns else Counter()
        twice = [name for name, count in tested.items() if count > 1]
        if twice:
            raise RunError(f"{what} {twice[0]} is tested in two folds ({len(twice)} in all): these are no folds of one")


def _leakage(folds: Sequence[Fold]) -> dict[str, Any]:
    """Duplicates in all folds, and the accuracy without them; only a fold knows its own, by its training images."""
    pooled: dict[str, Any] = {}
    for name in ("readings", "configurations_read"):
        if counts := [fold.metrics[f"test/{name}"] for fold in folds if f"test/{name}" in fold.metrics]:
            pooled[name] = max(counts)
    for name in ("images_of_unknown_classes", "images_trained_on"):
        pooled[name] = sum(fold.metrics.get(f"test/{name}") or 0 for fold in folds)
    for duplicates, accuracy in (("twins", "accuracy_deduplicated"), ("near_twins", "accuracy_without_near_twins")):
        counts = [fold.metrics.get(f"test/{duplicates}") for fold in folds]
        if None in counts:
            pooled |= {duplicates: None, accuracy: None}
            continue
        left = [len(fold.predictions) - (count or 0) for fold, count in zip(folds, counts, strict=True)]
        accuracies = [fold.metrics.get(f"test/{accuracy}") or 0 for fold in folds]
        right = sum(share * images for share, images in zip(accuracies, left, strict=True))
        pooled |= {duplicates: sum(count or 0 for count in counts), accuracy: right / sum(left) if sum(left) else None}
    return pooled


def _spread(folds: Sequence[Fold]) -> dict[str, Any]:
    """Mean and standard deviation of test metrics over folds."""
    pooled: dict[str, Any] = {}
    for metric in shown_in("folds_spread"):
        values = [value for fold in folds if (value := fold.metrics.get(f"test/{metric.key}")) is not None]
        if values:  # runs of an earlier version lack newer metrics
            pooled[f"test/{metric.key}_folds_mean"] = statistics.fmean(values)
            pooled[f"test/{metric.key}_folds_sd"] = statistics.stdev(values) if len(values) > 1 else None
    return pooled


def _training_metrics(folds: Sequence[Fold]) -> dict[str, Any]:
    """Of the trainings: means of the validation metrics, cost of all folds together."""
    pooled: dict[str, Any] = {}
    for name, value in folds[0].metrics.items():
        values: list[Any] = [fold.metrics.get(name) for fold in folds]
        if name.startswith("val/") and isinstance(value, float) and all(isinstance(v, float) for v in values):
            pooled[name] = statistics.fmean(values)
    seconds, memory, speeds = (
        [value for fold in folds if (value := fold.metrics.get(name))]
        for name in ("train_seconds", "peak_memory_bytes", "train_images_per_second")
    )
    pooled["train_seconds"] = sum(seconds)
    pooled["peak_memory_bytes"] = max(memory, default=None)
    pooled["train_images_per_second"] = statistics.fmean(speeds) if speeds else None
    pooled["best_epoch"] = None  # each fold has its own
    return pooled | {name: folds[0].metrics.get(name) for name in SAME_IN_ALL_FOLDS}


def _images(data: dict[str, Any] | None, names: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """The images of the names, where the pack that the folds were trained from is at hand."""
    if data is None:
        return None
    try:
        datamodule = FERDataModule(**{**data, "source": None})
        pack = open_pack(datamodule.folder)
        row_of = {name: row for row, name in enumerate(pack.names.tolist())}
        rows = np.array([row_of[name] for name in names.tolist()])
    except (FERError, TypeError, KeyError):
        log.info("the pack of the folds is not here: there will be no figures with faces")
        return None
    images = pack.images
    return lambda positions: images[rows[positions]]


def runs_of_folds(cfg: DictConfig) -> list[RunFolder]:
    """The runs of all folds that `checkpoint` names; empty where it names models.

    Raises:
        ConfigError: both kinds, or a question that folds do not answer.
    """
    paths = [RunFolder(path) for path in given_checkpoints(cfg)]
    runs = [path for path in paths if path.is_run_of_folds()]
    if not runs:
        return []
    if len(runs) < len(paths):
        single = next(path for path in paths if path not in runs)
        raise ConfigError(f"{runs[0]} holds a run of each fold and {single} does not: they cannot vote")
    if cfg.data.name is not None or cfg.split != "test":
        raise ConfigError(
            f"{runs[0]} holds a run of each fold, and together they are evaluated on their own test images only: leave "
            f"out data= and split=, or give one of them, checkpoint={runs[0].fold(0)}"
        )
    return runs


def evaluate_folds(
    cfg: DictConfig, runs: Sequence[RunFolder], overrides: Sequence[str] = ()
) -> tuple[list[TrainedModel], Evaluation]:
    """Evaluate runs of all folds again: each fold's model on the test images of its fold, pooled.

    Args:
        cfg: as `conf/evaluate.yaml` composes it.
        runs: of all folds of the same data; several vote, fold by fold.
        overrides: the command line.

    Returns:
        The models of the first fold, and the evaluation of all.

    Raises:
        FERError: see `evaluate_models`; a fold that is not finished, `data.fold` given.
    """
    for override in overrides:
        if (key := override.lstrip("+~").partition("=")[0]).startswith(tuple(f"data.{name}" for name in FOLD_KEYS)):
            raise ConfigError(
                f"{key}= asks for other folds than {runs[0]} was trained on; for one of them give its run, "
                f"as checkpoint={runs[0].fold(0)}"
            )
    asked, count = cfg.copy(), _fold_count(runs)
    first_models: list[TrainedModel] = []
    folds = []
    for number in range(count):
        asked.checkpoint = [str(run.fold(number)) for run in runs]
        models, found = evaluate_models(asked, overrides)
        of_fold, accuracy = found.predictions, found.metrics["test/accuracy"]
        log.info("fold %d of %d: %.1f %% of %d images", number, count, 100 * accuracy, len(of_fold))
        assert found.temperature is not None
        folds.append(Fold(RunFolder(models[0].path), of_fold, found.temperature, found.metrics, models[0].data))
        first_models = first_models or models
    first = folds[0].metrics
    return first_models, _pooled(folds).with_metrics(
        {name: first[name] for name in SAME_QUESTION}
        | {
            "checkpoint": str(runs[0]) if len(runs) == 1 else [str(run) for run in runs],
            "data": first["data"],
            "fold": None,
            "temperature": None,  # each fold has its own
        }
    )


def _fold_count(runs: Sequence[RunFolder]) -> int:
    """How many folds the runs have.

    Raises:
        ConfigError: their configs do not say, or differ.
        RunError: folds that are not finished.
    """
    of_runs = [run_data(run.fold(0)) or {} for run in runs]
    data = of_runs[0]
    for run, other in zip(runs, of_runs, strict=True):
        if not other.get("folds"):
            raise ConfigError(f"{run.fold(0)} does not say how many folds there are")
        different = [key for key in FOLD_KEYS[1:] if data.get(key) != other.get(key)]
        if different:
            values = ", ".join(f"{key} {data.get(key)} and {other.get(key)}" for key in different)
            raise ConfigError(f"{runs[0]} and {run} have {values}: they cannot vote")
    for run in runs:
        missing = [str(number) for number in range(data["folds"]) if not run.fold(number).is_finished()]
        if missing:
            raise RunError(
                f"fold {', '.join(missing)} of {data['folds']} in {run} {'is' if len(missing) == 1 else 'are'} not "
                f"finished; resume with: python scripts/train.py resume={run}"
            )
    return int(data["folds"])
