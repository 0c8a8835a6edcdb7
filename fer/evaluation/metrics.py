"""Functions that compute single metrics from arrays; `metric_table` names them."""

import math
import warnings

import numpy as np
import torch
from torchmetrics.functional.classification import multiclass_auroc, multiclass_calibration_error

from fer.evaluation.split_predictions import softmax

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


def precisions(confusion: np.ndarray) -> np.ndarray:
    """Of the images predicted as a class, the share that is of it, float [K]; NaN where none is predicted.

    Args:
        confusion: counts, truth by prediction, int [K, K].
    """
    return _ratio(np.diag(confusion), confusion.sum(axis=0))


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Of the images of a class, the share that is predicted as it, float [K]; NaN where there is none."""
    return _ratio(np.diag(confusion), confusion.sum(axis=1))


def f1_scores(confusion: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall, float [K]; NaN where a class has no image and is never predicted."""
    return _ratio(2 * np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


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


def accuracy_without(left_out: np.ndarray | None, correct: np.ndarray) -> float | None:
    """The accuracy over the images that are not left out; None where it is unknown which, or none remains.

    Args:
        left_out: bool [N].
        correct: bool [N].
    """
    if left_out is None or left_out.all():
        return None
    return float(correct[~left_out].mean())


def majority_share(labels: np.ndarray) -> float:
    """The accuracy of always answering the class that most of these images have.

    Args:
        labels: int [N].
    """
    return float(np.bincount(labels).max() / len(labels))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part by whole, float [K]; NaN where there is no whole."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Fit the temperature (Guo et al., On Calibration of Modern Neural Networks, ICML 2017), within [0.05, 20].

    It is the divisor of the logits under which the labels are most likely. One of n + 2 labels counts as if it were any
    of the classes (Platt 1999, section 2.2), so that a few images, all predicted right, do not make the model certain.
    The negative log-likelihood is convex in the inverse temperature, so halving an interval finds its one minimum.

    Args:
        logits: float [N, K], of images the network was not trained on.
        labels: int [N].
    """
    scores = torch.from_numpy(logits).double()
    of_labels = scores[torch.arange(len(labels)), torch.from_numpy(labels)]
    of_labels += (scores.mean(dim=1) - of_labels) / (len(labels) + 2)
    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    for _ in range(40):
        middle = (low + high) / 2
        expected = ((scores / math.exp(middle)).softmax(dim=1) * scores).sum(dim=1)
        overconfident = bool((expected - of_labels).mean() > 0)  # the slope of the loss in the inverse temperature
        low, high = (middle, high) if overconfident else (low, middle)
    return math.exp((low + high) / 2)
