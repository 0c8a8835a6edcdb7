"""The table of metrics: `METRICS` has a row for each, and every summary, report, dashboard and comparison iterates it.

To add a metric, write its function and add its row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from fer.evaluation.calibration import Gaps, ece_if_calibrated, ece_interval
from fer.evaluation.conformal import PROMISED
from fer.evaluation.groups import group_metrics
from fer.evaluation.identity import images_digest
from fer.evaluation.intervals import accuracy_interval
from fer.evaluation.metrics import (
    accuracy_without,
    areas_under_roc,
    brier_score,
    expected_calibration_error,
    f1_scores,
    majority_share,
    precisions,
    recalls,
)
from fer.evaluation.scores import (
    ImageScores,
    auroc_scores,
    balanced_accuracy_scores,
    class_set_coverages,
    macro_auroc_scores,
    macro_f1_scores,
    recall_scores,
    score_interval,
    score_value,
    set_coverage_scores,
    without,
)
from fer.evaluation.split_predictions import SplitPredictions
from fer.evaluation.votes import (
    agreement_scores,
    majority_agreement,
    mean_interval,
    mean_of,
    mistakes_with_votes,
    vote_divergences,
    vote_likelihoods,
)

Place = Literal[
    "console",  # the summary that training and evaluate.py print
    "report",  # report.html
    "tensorboard",  # the table of results in the text tab
    "hparams",  # TensorBoard's HParams tab, test split
    "folds",  # a column of folds.csv
    "folds_spread",  # mean and standard deviation over folds, in metrics.json
    "comparison",  # comparison.csv and runs.csv, test split
    "comparison_page",  # the table of results in comparison.md and comparison.html
    "differences",  # paired differences in differences.csv and on the page, beside those of the accuracy
]
INTERVAL = "_ci95"  # after the key of a metric
IN_SAMPLE = "temperature_in_sample"  # whether the temperature was fitted on these very images
MISSING = "–"


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Args:
        key: name in `metrics.json`, after `test/`; with `per_class` before `_CLASS`.
        label: for people.
        compute: the value: a number, [low, high], or None where it does not exist; with `per_class` float [K], with
            NaN where it does not exist.
        format: of a number, as Python's format specification.
        shown: the places that show it.
        per_class: whether it has a value for each class.
        optional: whether a place leaves it out where all its values are unknown or zero.
        missing: the text of a value that does not exist.
        scores: the metric as a mean over images, for its interval and paired tests; with `per_class` one of each class.
        interval: the 95 % interval of a metric that is no such mean.
    """

    key: str
    label: str
    compute: Callable[[SplitPredictions], Any]
    format: str = ".4f"
    shown: tuple[Place, ...] = ()
    per_class: bool = False
    optional: bool = False
    missing: str = MISSING
    scores: Callable[[SplitPredictions], Any] | None = None
    interval: Callable[[SplitPredictions], list[float] | None] | None = None

    def text(self, value: Any, bounds: Any = None) -> str:
        """A value for people, with its interval in brackets where that is known."""
        if value is None:
            return self.missing
        if isinstance(value, list | tuple):
            return " to ".join(format(bound, self.format) for bound in value)
        text = format(value, self.format)
        return f"{text} [{', '.join(format(bound, self.format) for bound in bounds)}]" if bounds else text


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy, nats."""
    return float(F.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(labels)))


def macro_auroc(predictions: SplitPredictions) -> float | None:
    """Mean area under the ROC curve over the classes that have one."""
    areas = areas_under_roc(predictions.logits, predictions.labels)
    return None if np.isnan(areas).all() else float(np.nanmean(areas))


def _count(flags: np.ndarray | None) -> int | None:
    return None if flags is None else int(flags.sum())


PAGES: tuple[Place, ...] = ("console", "report")
MOST: tuple[Place, ...] = (*PAGES, "tensorboard", "folds", "comparison")

METRICS: tuple[Metric, ...] = (
    Metric("images", "images", len, ",", ("console", "tensorboard", "folds", "comparison_page")),
    Metric("images_sha256", "digest of names and labels",
           lambda p: images_digest(p.names, np.array(p.classes)[p.labels])),
    Metric("images_of_unknown_classes", "images left out: classes the model does not know",
           attrgetter("images_of_unknown_classes"), ",", PAGES, optional=True),
    Metric("images_trained_on", "images trained or selected on", attrgetter("images_trained_on"), ","),
    Metric("subjects", "people", lambda p: None if p.subjects is None else len(np.unique(p.subjects)), ",",
           ("console", "folds"), optional=True),
    Metric("accuracy", "accuracy", lambda p: p.correct.mean(), ".2%",
           (*MOST, "hparams", "folds_spread", "comparison_page")),
    Metric("accuracy_ci95", "95 % interval", lambda p: accuracy_interval(p.correct, p.units, folds=p.folds), ".1%",
           (*PAGES, "tensorboard"), missing="not estimable"),
    Metric("twins", "exact duplicates", lambda p: _count(p.exact_duplicates), ","),
    Metric("near_twins", "near duplicates, at least", lambda p: _count(p.near_duplicates), ","),
    Metric("accuracy_deduplicated", "accuracy without exact duplicates",
           lambda p: accuracy_without(p.exact_duplicates, p.correct), ".2%", ("report", "comparison"),
           scores=lambda p: without(p.exact_duplicates, p)),
    Metric("accuracy_without_near_twins", "accuracy without duplicates",
           lambda p: accuracy_without(p.near_duplicates, p.correct), ".2%",
           ("console", "report", "comparison"), scores=lambda p: without(p.near_duplicates, p)),
    Metric("accuracy_majority", "accuracy if always the most frequent class", lambda p: majority_share(p.labels), ".2%",
           ("report", "tensorboard")),
    Metric("accuracy_chance", "accuracy by chance", lambda p: 1 / len(p.classes), ".2%", ("report",)),
    Metric("macro_f1", "macro F1", lambda p: np.nanmean(f1_scores(p.confusion)),
           shown=(*MOST, "hparams", "folds_spread", "comparison_page", "differences"), scores=macro_f1_scores),
    Metric("balanced_accuracy", "balanced accuracy", lambda p: np.nanmean(recalls(p.confusion)), ".2%",
           (*MOST, "folds_spread", "differences"), scores=balanced_accuracy_scores),
    Metric("macro_auroc", "macro AUROC", macro_auroc, shown=PAGES, scores=macro_auroc_scores),
    Metric("nll", "negative log-likelihood", lambda p: negative_log_likelihood(p.logits, p.labels), shown=MOST),
    Metric("nll_calibrated", "negative log-likelihood, calibrated",
           lambda p: negative_log_likelihood(p.calibrated_logits, p.labels), shown=PAGES),
    Metric("brier", "Brier score", lambda p: brier_score(p.logits, p.labels), shown=PAGES),
    Metric("brier_calibrated", "Brier score, calibrated", lambda p: brier_score(p.calibrated_logits, p.labels),
           shown=PAGES),
    Metric("ece", "calibration error (ECE)", lambda p: expected_calibration_error(p.logits, p.labels),
           shown=(*MOST, "hparams", "comparison_page"), interval=lambda p: ece_interval(Gaps.of(p))),
    Metric("ece_if_calibrated", "ECE of a perfectly calibrated model", lambda p: ece_if_calibrated(Gaps.of(p)),
           shown=("report", "tensorboard")),
    Metric("ece_calibrated", "calibration error (ECE), calibrated",
           lambda p: expected_calibration_error(p.calibrated_logits, p.labels), shown=(*MOST, "comparison_page"),
           interval=lambda p: ece_interval(Gaps.of(p, calibrated=True))),
    Metric("vote_agreement", "chance that a voter agrees", lambda p: score_value(agreement_scores(p)), ".2%",
           ("report", "tensorboard"), optional=True, scores=agreement_scores),
    Metric("vote_agreement_of_labels", "chance that a voter agrees with the label", majority_agreement, ".2%",
           ("report",), optional=True),
    Metric("vote_agreement_of_mistakes", "chance that a voter agrees with a mistake", mistakes_with_votes, ".2%",
           ("report",), optional=True),
    Metric("vote_nll", "negative log-likelihood of a vote", lambda p: mean_of(vote_likelihoods(p)), shown=("report",),
           optional=True, interval=lambda p: mean_interval(vote_likelihoods(p), p)),
    Metric("vote_kl", "divergence from the votes (KL)", lambda p: mean_of(vote_divergences(p)), shown=("report",),
           optional=True, interval=lambda p: mean_interval(vote_divergences(p), p)),
    Metric("set_coverage", f"prediction sets that hold the truth ({PROMISED:.0%} promised)",
           lambda p: None if p.sets is None else p.sets[np.arange(len(p)), p.labels].mean(), ".1%",
           ("report", "tensorboard"), optional=True, scores=set_coverage_scores),
    Metric("set_size", "classes in a prediction set, mean",
           lambda p: None if p.sets is None else p.sets.sum(axis=1).mean(), ".2f", ("report",), optional=True),
    Metric(IN_SAMPLE, "temperature fitted on these images", attrgetter("temperature_in_sample")),
    Metric("precision", "precision", lambda p: precisions(p.confusion), ".3f", PAGES, per_class=True),
    Metric("recall", "recall", lambda p: recalls(p.confusion), ".3f", PAGES, per_class=True, scores=recall_scores),
    Metric("f1", "F1", lambda p: f1_scores(p.confusion), ".3f", PAGES, per_class=True),
    Metric("auroc", "AUROC", lambda p: areas_under_roc(p.logits, p.labels), ".3f", PAGES, per_class=True,
           scores=auroc_scores),
    Metric("set_coverage_of", "sets that hold it", class_set_coverages, ".3f", ("report",), per_class=True,
           optional=True),
    Metric("support", "images", lambda p: p.confusion.sum(axis=1), ",", PAGES, per_class=True),
)  # fmt: skip


def compute_metrics(predictions: SplitPredictions) -> dict[str, Any]:
    """Every metric of a split, by the names of `metrics.json`; None where a number does not exist.

    All are flat but for results by groups of people, where those are known (`fer.evaluation.groups`).
    """
    found: dict[str, Any] = {}
    for metric in METRICS:
        value = metric.compute(predictions)
        if metric.per_class:
            of_classes = zip(predictions.classes, value, strict=True)
            found |= {f"{metric.key}_{name}": _plain(number) for name, number in of_classes}
        else:
            found[metric.key] = _plain(value)
        found |= _intervals(metric, predictions)
    return found | group_metrics(predictions)


def _intervals(metric: Metric, predictions: SplitPredictions) -> dict[str, list[float] | None]:
    """The 95 % interval of a metric, or of that of each class; none where the table has no way to it."""
    if metric.interval is not None:
        return {f"{metric.key}{INTERVAL}": metric.interval(predictions)}
    if metric.scores is None:
        return {}
    scores = metric.scores(predictions)
    keys = [f"{metric.key}_{name}" for name in predictions.classes] if metric.per_class else [metric.key]
    of: list[ImageScores | None] = scores if metric.per_class else [scores]
    return {f"{key}{INTERVAL}": score_interval(one, predictions) for key, one in zip(keys, of, strict=True)}


def _plain(value: Any) -> Any:
    """As JSON takes it: Python's own numbers, None for NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value


def shown_in(place: Place, per_class: bool = False) -> list[Metric]:
    """The metrics that a place shows, in order: those of the whole split, or those of each class."""
    return [metric for metric in METRICS if place in metric.shown and metric.per_class == per_class]


def result_rows(place: Place, metrics: Mapping[str, Any], splits: Sequence[str]) -> list[list[str]]:
    """The table of results of a place: for each metric its label, then its text for each split.

    Args:
        place: that shows them.
        metrics: by the names of `metrics.json`; a metric that no split has gets no row.
        splits: a column each.
    """
    rows = []
    for metric in shown_in(place):
        keys = [f"{split}/{metric.key}" for split in splits]
        if any(key in metrics for key in keys) and (any(map(metrics.get, keys)) or not metric.optional):
            texts = (_with_interval(metric, metrics, key) if key in metrics else MISSING for key in keys)
            rows.append([metric.label, *texts])
    return rows


def class_rows(place: Place, metrics: Mapping[str, Any], split: str) -> list[list[str]]:
    """The table of classes of a place: a heading, then a row for each class; empty where no class has numbers."""
    shown, prefix = shown_in(place, per_class=True), f"{split}/support_"
    classes = [key.removeprefix(prefix) for key in metrics if key.startswith(prefix)]
    shown = [m for m in shown if not m.optional or any(metrics.get(f"{split}/{m.key}_{name}") for name in classes)]
    rows = [
        [name, *(_with_interval(metric, metrics, f"{split}/{metric.key}_{name}", place) for metric in shown)]
        for name in classes
    ]
    return [["class", *(metric.label for metric in shown)], *rows] if rows else []


def _with_interval(metric: Metric, metrics: Mapping[str, Any], key: str, place: Place = "report") -> str:
    """The text of a metric's value; the console has no room for the intervals of classes."""
    brackets = (metric.scores or metric.interval) and not (metric.per_class and place == "console")
    text = metric.text(metrics.get(key), metrics.get(f"{key}{INTERVAL}") if brackets else None)
    fitted = metric.key.endswith("_calibrated") or metric.key == "set_coverage"
    in_sample = fitted and metrics.get(f"{key.partition('/')[0]}/{IN_SAMPLE}")
    return f"{text} (in-sample)" if in_sample else text
