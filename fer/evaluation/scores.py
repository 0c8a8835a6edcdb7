"""Metrics as means over images, so that one interval and one paired test serve them all.

An accuracy is the mean of right and wrong. Other metrics are not means, but near ones: the value that an image is given
here is the metric plus the image's influence on it (Hampel 1974, The influence curve and its role in robust
estimation). Their mean is the metric, and their variance over images or people is that of the metric (linearisation).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from fer.evaluation.intervals import LEVEL, accuracy_interval
from fer.evaluation.metrics import f1_scores, recalls
from fer.evaluation.split_predictions import SplitPredictions


@dataclass(frozen=True)
class ImageScores:
    """A metric from 0 to 1 as the mean over images."""

    values: np.ndarray  # bool or float [N], of the metric's images
    rows: np.ndarray | None = None  # which images of the split these are, bool; None for all
    equal_to: float | None = None  # how many images tell as much where nothing varies; None for as many as there are
    least_variance: float = 0.0  # for a class may be all right by luck

    @property
    def value(self) -> float:
        return float(self.values.mean())

    def of(self, column: np.ndarray | None) -> np.ndarray | None:
        """What is known of each image of the split, for the metric's own."""
        return column if column is None or self.rows is None else column[self.rows]


def score_interval(
    scores: ImageScores | None, predictions: SplitPredictions, level: float = LEVEL
) -> list[float] | None:
    """Interval of a metric, 95 % unless told otherwise, over people where they are known, else over photographs."""
    if scores is None or not len(scores.values):
        return None
    subjects, folds = scores.of(predictions.units), scores.of(predictions.folds)
    return accuracy_interval(
        scores.values,
        subjects,
        folds=folds,
        equal_to=scores.equal_to,
        least_variance=scores.least_variance,
        level=level,
    )


def score_value(scores: ImageScores | None) -> float | None:
    return None if scores is None else scores.value


def without(left_out: np.ndarray | None, predictions: SplitPredictions) -> ImageScores | None:
    """Of the accuracy over the images that are not left out, bool [N]; None where it is unknown which, or none is."""
    if left_out is None or left_out.all():
        return None
    return ImageScores(predictions.correct[~left_out], ~left_out)


def set_coverage_scores(p: SplitPredictions) -> ImageScores | None:
    """Of the share of prediction sets that hold the true class; None where there are no sets."""
    return None if p.sets is None else ImageScores(p.sets[np.arange(len(p)), p.labels])


def class_set_coverages(p: SplitPredictions) -> np.ndarray:
    """Of each class the share of its sets that hold it, float [K]; NaN without images or sets."""
    scores = set_coverage_scores(p)
    held = [np.array([]) if scores is None else scores.values[p.labels == k] for k in range(len(p.classes))]
    return np.array([of.mean() if len(of) else np.nan for of in held])


def recall_scores(p: SplitPredictions) -> list[ImageScores | None]:
    """Of the recall of each class: right answers on its own images."""
    of = [p.labels == k for k in range(len(p.classes))]
    return [ImageScores(p.correct[rows], rows) if rows.any() else None for rows in of]


def balanced_accuracy_scores(p: SplitPredictions) -> ImageScores:
    """Of the mean recall of the classes that have images."""
    support, found = p.confusion.sum(axis=1), recalls(p.confusion)
    value, classes = float(np.nanmean(found)), int((support > 0).sum())
    influence = (p.correct - found[p.labels]) * len(p) / (classes * support[p.labels])
    return ImageScores(value + influence, None, *_by_classes(np.diag(p.confusion), support))


def macro_f1_scores(p: SplitPredictions) -> ImageScores:
    """Of the mean F1 of the classes that have images or predictions."""
    total = p.confusion.sum(axis=0) + p.confusion.sum(axis=1)  # of each class, images and predictions
    found = f1_scores(p.confusion)
    classes = int((total > 0).sum())
    share = len(p) / np.maximum(total, 1) / classes
    known = np.nan_to_num(found)
    influence = 2 * p.correct * share[p.labels] - (known * share)[p.labels] - (known * share)[p.predicted]
    return ImageScores(float(np.nanmean(found)) + influence, None, *_by_classes(np.diag(p.confusion), total / 2))


def auroc_scores(p: SplitPredictions) -> list[ImageScores | None]:
    """Of the area under the ROC curve of each class (DeLong et al. 1988, Comparing the areas under two curves)."""
    support = np.bincount(p.labels, minlength=len(p.classes))
    return [_area(p, k) if 0 < count < len(p) else None for k, count in enumerate(support)]


def macro_auroc_scores(p: SplitPredictions) -> ImageScores | None:
    """Of the mean over classes."""
    of_classes = [scores for scores in auroc_scores(p) if scores is not None]
    if not of_classes:
        return None
    least = sum(scores.least_variance for scores in of_classes) / len(of_classes) ** 2
    equal = min(scores.equal_to or np.inf for scores in of_classes) * len(of_classes)
    return ImageScores(np.mean([scores.values for scores in of_classes], axis=0), None, equal, least)


def _area(p: SplitPredictions, k: int) -> ImageScores:
    """Of one class: for its images the share of others that score lower, for others the share of its that score more.

    A tie counts half.
    """
    own, score = p.labels == k, p.probabilities[:, k]
    ranks = stats.rankdata(score)
    count, others = int(own.sum()), int((~own).sum())
    placed = np.empty(len(score))
    placed[own] = (ranks[own] - stats.rankdata(score[own])) / others
    placed[~own] = 1 - (ranks[~own] - stats.rankdata(score[~own])) / count
    value = float(placed[own].mean())
    weight = np.where(own, len(p) / count, len(p) / others)
    few = min(count, others)
    return ImageScores(value + weight * (placed - value), None, few, _least_variance(value * few, few) / few)


def _by_classes(right: np.ndarray, images: np.ndarray) -> tuple[float, float]:
    """How many images a mean over classes is worth where all are right, and the least variance that it has.

    Args:
        right: of each class, int [K].
        images: of each class, float [K].
    """
    there = images > 0
    classes = int(there.sum())
    variances = [_least_variance(*pair) for pair in zip(right[there], images[there], strict=True)]
    return classes * float(images[there].min()), sum(variances) / classes**2


def _least_variance(right: float, images: float) -> float:
    """Of a share of a class, with one more right and one more wrong (Agresti & Coull 1998)."""
    share = (right + 1) / (images + 2)
    return share * (1 - share) / images
