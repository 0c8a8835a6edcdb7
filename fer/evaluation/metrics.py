"""Numbers of one split from its logits and labels."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_stat_scores

RESAMPLES = 10_000


def classification_metrics(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    temperature: float = 1.0,
    subjects: np.ndarray | None = None,
    twins: np.ndarray | None = None,
    near_twins: np.ndarray | None = None,
) -> dict[str, Any]:
    """Accuracy with its interval, F1, balanced accuracy, likelihood, calibration.

    Args:
        logits: float [N, K].
        labels: int [N].
        temperature: of the calibrated ECE, fitted on validation.
        subjects: who is on each image, str [N]: the interval is then over subjects.
        twins: bool [N], images that also stand in training or validation, pixel by pixel.
        near_twins: bool [N], images whose photograph stands there, these included.

    Returns:
        Flat, by the names of `metrics.json`; None where a number does not exist.
    """
    correct = logits.argmax(axis=1) == labels
    unique = correct if twins is None else correct[~twins]
    unseen = unique if near_twins is None else correct[~near_twins]
    scores, targets = torch.from_numpy(logits), torch.from_numpy(labels)
    counts = multiclass_stat_scores(scores, targets, logits.shape[1], average=None)
    true_positive, false_positive, _, false_negative, support = counts.double().T.numpy()
    seen = support + false_positive > 0
    f1 = 2 * true_positive[seen] / (2 * true_positive + false_positive + false_negative)[seen]
    recall = true_positive[support > 0] / support[support > 0]
    return {
        "accuracy": float(correct.mean()),
        "accuracy_ci95": accuracy_interval(correct, subjects),
        "accuracy_deduplicated": float(unique.mean()) if len(unique) else None,
        "accuracy_without_near_twins": float(unseen.mean()) if len(unseen) else None,
        "near_twins": len(correct) - len(unseen),
        "macro_f1": float(f1.mean()),
        "balanced_accuracy": float(recall.mean()),
        "nll": float(F.cross_entropy(scores.double(), targets)),
        "ece": expected_calibration_error(logits, labels),
        "ece_calibrated": expected_calibration_error(logits / temperature, labels),
        "images": len(labels),
    }


def expected_calibration_error(logits: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017)."""
    probabilities = torch.from_numpy(logits).double().softmax(dim=1)
    return float(multiclass_calibration_error(probabilities, torch.from_numpy(labels), logits.shape[1], n_bins=bins))


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
