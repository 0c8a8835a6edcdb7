"""Numbers of one split from its logits and labels."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torchmetrics.functional.classification import (
    multiclass_auroc,
    multiclass_calibration_error,
    multiclass_stat_scores,
)

from fer.evaluation.split_predictions import softmax

RESAMPLES = 10_000


def classification_metrics(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    classes: Sequence[str] = (),
    temperature: float | np.ndarray = 1.0,
    subjects: np.ndarray | None = None,
    twins: np.ndarray | None = None,
    near_twins: np.ndarray | None = None,
) -> dict[str, Any]:
    """Accuracy with its interval, F1, balanced accuracy, likelihood, calibration, and numbers of each class.

    Args:
        logits: float [N, K].
        labels: int [N], N over 0.
        classes: names of the K classes; without them no class has numbers of its own.
        temperature: of what is called calibrated, fitted on validation; of all images, or of each, float [N].
        subjects: who is on each image, str [N]: the interval is then over subjects.
        twins: bool [N], images that also stand in training or validation, pixel by pixel; None where that is unknown.
        near_twins: bool [N], images whose photograph stands there, these included; None likewise.

    Returns:
        Flat, by the names of `metrics.json`; None where a number does not exist.
    """
    correct = logits.argmax(axis=1) == labels
    scores, targets = torch.from_numpy(logits), torch.from_numpy(labels)
    counts = multiclass_stat_scores(scores, targets, logits.shape[1], average=None)
    true_positive, false_positive, _, false_negative, support = counts.double().T.numpy()
    precision = _share(true_positive, true_positive + false_positive)
    recall = _share(true_positive, support)
    f1 = _share(2 * true_positive, 2 * true_positive + false_positive + false_negative)
    auroc = areas_under_roc(logits, labels)
    numbers = {
        "accuracy": correct.mean(),
        "accuracy_ci95": accuracy_interval(correct, subjects),
        "accuracy_deduplicated": _accuracy_without(twins, correct),
        "accuracy_without_near_twins": _accuracy_without(near_twins, correct),
        "twins": None if twins is None else twins.sum(),
        "near_twins": None if near_twins is None else near_twins.sum(),
        "macro_f1": np.nanmean(f1),
        "balanced_accuracy": np.nanmean(recall),
        "macro_auroc": None if np.isnan(auroc).all() else np.nanmean(auroc),
        **_likelihoods(logits, labels, temperature),
        "images": len(labels),
        "subjects": None if subjects is None else len(np.unique(subjects)),
    }
    columns = {"precision": precision, "recall": recall, "f1": f1, "support": support.astype(int), "auroc": auroc}
    for name, column in columns.items():
        numbers |= {f"{name}_{emotion}": column[k] for k, emotion in enumerate(classes)}
    return {name: _plain(value) for name, value in numbers.items()}


def _likelihoods(logits: np.ndarray, labels: np.ndarray, temperature: float | np.ndarray) -> dict[str, float]:
    """How well probabilities fit, as trained and calibrated."""
    cooled = logits / np.asarray(temperature, dtype=np.float64).reshape(-1, 1)
    numbers = {}
    for suffix, scores in (("", logits), ("_calibrated", cooled)):
        of_scores, targets = torch.from_numpy(scores).double(), torch.from_numpy(labels)
        numbers[f"nll{suffix}"] = float(F.cross_entropy(of_scores, targets))
        numbers[f"brier{suffix}"] = brier_score(scores, labels)
        numbers[f"ece{suffix}"] = expected_calibration_error(scores, labels)
    return numbers


def brier_score(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance of the probabilities from the truth, 0 to 2 (Brier 1950)."""
    distances = softmax(logits) - np.eye(logits.shape[1])[labels]
    return float((distances**2).sum(axis=1).mean())


def expected_calibration_error(logits: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017)."""
    probabilities = torch.from_numpy(softmax(logits))
    return float(multiclass_calibration_error(probabilities, torch.from_numpy(labels), logits.shape[1], n_bins=bins))


def areas_under_roc(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each class against all others, float [K]; NaN where there is no curve.

    That is where no image is of the class, or every one is.
    """
    count = logits.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes without images, which are taken care of here
        areas = multiclass_auroc(torch.from_numpy(softmax(logits)), torch.from_numpy(labels), count, average=None)
    support = np.bincount(labels, minlength=count)
    return np.where((support > 0) & (support < len(labels)), np.asarray(areas, dtype=np.float64), np.nan)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part by whole; NaN where there is no whole."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _accuracy_without(left_out: np.ndarray | None, correct: np.ndarray) -> float | None:
    if left_out is None or left_out.all():
        return None
    return correct[~left_out].mean()


def _plain(value: Any) -> Any:
    """As JSON takes it: Python's own numbers, None for NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value


def accuracy_interval(correct: np.ndarray, subjects: np.ndarray | None = None, seed: int = 0) -> list[float]:
    """95 % percentile bootstrap interval of the accuracy.

    Images are resampled; where subjects are given, whole subjects are (if there are
    several), for images of one face are not independent.
    Where all are right or all wrong there is nothing to resample: the exact interval (Clopper & Pearson 1934) of as
    many images or subjects stands in.

    Args:
        correct: bool [N].
        subjects: str [N].
    """
    generator = np.random.default_rng(seed)
    if subjects is not None and len(np.unique(subjects)) == 1:
        subjects = None
    if correct.all() or not correct.any():
        units = len(correct) if subjects is None else len(np.unique(subjects))
        reach = 0.025 ** (1 / units)
        return [reach, 1.0] if correct.all() else [0.0, 1 - reach]
    if subjects is None:
        hits = generator.binomial(len(correct), correct.mean(), RESAMPLES)
        accuracies = hits / len(correct)
    else:
        people, person = np.unique(subjects, return_inverse=True)
        hits_of, images_of = np.bincount(person, weights=correct), np.bincount(person)
        drawn = generator.multinomial(len(people), np.full(len(people), 1 / len(people)), RESAMPLES)
        accuracies = (drawn @ hits_of) / (drawn @ images_of)
    low, high = np.quantile(accuracies, [0.025, 0.975])
    return [float(low), float(high)]
