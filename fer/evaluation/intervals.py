"""How sure an accuracy is: one 95 % interval for a run, for pooled folds and for the mean of several seeds.

Photos of one face are not independent, so the people are what is sampled (Korn & Graubard 1998, Confidence intervals
for proportions with small expected number of positive counts estimated from survey data, Survey Methodology 24): the
variance between people says how many independent images would tell as much, and the exact interval (Clopper & Pearson
1934, The use of confidence or fiducial limits illustrated in the case of the binomial) is taken of that many.

Two things are added, because few people hide how much people vary. Where most errors are on a few faces, the degrees of
freedom are those that the errors leave (Satterthwaite 1946, An approximate distribution of estimates of variance
components), not people - 1. And the variance is averaged with the one of an intraclass correlation of 0.4, which counts
as one more person. `tests/evaluation/test_intervals.py` measures how often such an interval holds the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.05  # of a claim; an interval holds the truth in 1 - LEVEL
EXPECTED_CORRELATION = 0.4  # of two images of one person, before any is seen
EXPECTED_WEIGHT = 1.0  # degrees of freedom that it counts for
FEWEST_FOLDS = 5  # whose spread says something of the noise of training
UNDERESTIMATED = 0.2  # chance that a variance is larger than what is reckoned with in degrees of freedom


@dataclass(frozen=True)
class SeedSpread:
    """How much the accuracy of a model varies between seeds; variances of one seed."""

    variance: float  # beyond the noise of single images or people; 0 or more
    observed: float  # with that noise
    freedom: int  # degrees


def accuracy_interval(
    correct: np.ndarray,
    subjects: np.ndarray | None = None,
    spread: SeedSpread | None = None,
    folds: np.ndarray | None = None,
    equal_to: float | None = None,
    least_variance: float = 0.0,
    level: float = LEVEL,
) -> list[float] | None:
    """95 % interval of an accuracy: for new people where subjects are given, else for new images.

    So too of any metric from 0 to 1 that is a mean over images (`fer.evaluation.scores`).

    Folds that differ by more than their people explain have models that differ: then the folds are what is sampled.
    What all folds share, for they were trained on mostly the same images, no interval can show (Bengio & Grandvalet
    2004, No unbiased estimator of the variance of K-fold cross-validation, JMLR 5).

    Args:
        correct: bool or float [N], or [S, N] of S seeds whose mean it is.
        subjects: who is on each image, str [N].
        spread: between seeds, where more is known of it than these S tell.
        folds: by whose model each image was predicted, int [N], where folds are pooled.
        equal_to: how many images tell as much where nothing varies; None for all N.
        least_variance: of the metric.
        level: how often the interval may miss the truth.

    Returns:
        [low, high]; None for images of one person, who says nothing of other people.
    """
    correct = np.atleast_2d(correct)
    if subjects is not None and len(np.unique(subjects)) == 1:
        return None
    hits, sizes = by_unit(correct, subjects)
    value, seeds = float(correct.mean()), len(correct)
    variance, freedom, images = _variance_of_units(correct, hits.mean(axis=0), sizes)
    if folds is not None and (count := len(np.unique(folds))) >= FEWEST_FOLDS:
        of_folds, images_of = by_unit(correct, folds)
        between = ratio_variance(of_folds.mean(axis=0), images_of)
        variance, freedom = max((variance, freedom), (between, count - 1))
    if seeds > 1:
        spread = spread or seed_spread([(hits, sizes)])
        freedom = freedom_of_sum([(variance, freedom), (spread.observed / seeds, spread.freedom)])
        variance += spread.variance / seeds
    variance, value = max(variance, least_variance), min(1.0, max(0.0, value))
    if variance == 0 or not 1e-9 < value < 1 - 1e-9:
        return clopper_pearson(round(value), images * (equal_to or len(correct[0])) / len(correct[0]), level)
    effective = value * (1 - value) / variance
    quantiles = stats.t.ppf(1 - level / 2, [max(1, correct.shape[1] - 1), freedom])
    return clopper_pearson(value, effective * min(1.0, quantiles[0] / quantiles[1]) ** 2, level)


def clopper_pearson(share: float, count: float, level: float = LEVEL) -> list[float]:
    """The exact interval of a share of so many independent cases; `count` need not be whole."""
    right, wrong = share * count, (1 - share) * count
    low = stats.beta.ppf(level / 2, right, wrong + 1) if share > 0 else 0.0
    high = stats.beta.ppf(1 - level / 2, right + 1, wrong) if share < 1 else 1.0
    return [float(low), float(high)]


def by_unit(correct: np.ndarray, subjects: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Right answers and images of each unit of the sample: a person where they are known, else an image.

    Args:
        correct: bool or float [S, N], of S seeds on N images.
        subjects: who is on each image, str [N].

    Returns:
        Right answers, or the sum of scores, [S, U], and images, int [U].
    """
    counted = correct.dtype == bool
    if subjects is None:
        return correct.astype(np.int64) if counted else correct, np.ones(correct.shape[1], dtype=np.int64)
    people, person = np.unique(subjects, return_inverse=True)
    hits = np.array([np.bincount(person, row, len(people)) for row in correct])
    return hits.round().astype(np.int64) if counted else hits, np.bincount(person)


def ratio_variance(sums: np.ndarray, sizes: np.ndarray) -> float:
    """Variance of sum by size over units drawn from many, by linearisation (Cochran 1977, Sampling Techniques, 6.4).

    Args:
        sums: of each unit, float [U].
        sizes: int [U].
    """
    units, size = len(sizes), sizes.sum()
    rest = sums - sums.sum() / size * sizes
    return float((rest**2).sum() / size**2 * units / max(1, units - 1))


def seed_spread(of: Sequence[tuple[np.ndarray, np.ndarray]]) -> SeedSpread:
    """Of a model's seeds, by the two-way analysis of variance; over several models that are taken to vary alike.

    Args:
        of: of each model, `by_unit`.
    """
    freedom = sum(len(hits) - 1 for hits, _ in of)
    observed = noise = 0.0
    for hits, sizes in of:
        seeds, units = hits.shape
        if seeds == 1:
            continue
        shares = hits / sizes.mean()  # whose mean over units is a seed's accuracy
        of_seeds = shares.mean(axis=1)
        rest = shares - shares.mean(axis=0) - of_seeds[:, None] + shares.mean()
        observed += ((of_seeds - of_seeds.mean()) ** 2).sum() / freedom
        noise += (rest**2).sum() / max(1, units - 1) / units / freedom
    return SeedSpread(max(0.0, float(observed - noise)), float(observed), freedom)


def freedom_of_sum(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of estimated variances, after Satterthwaite (1946).

    A variance of one or two degrees of freedom may be far larger than its estimate, and then the sum has hardly more
    degrees of freedom than that part. So each part is weighted with the upper limit of its variance.

    Args:
        parts: each variance with its own degrees of freedom.
    """
    limits = [(v * f / stats.chi2.ppf(UNDERESTIMATED, f), f) for v, f in parts if v > 0]
    return sum(limit for limit, _ in limits) ** 2 / sum(limit**2 / f for limit, f in limits) if limits else 1.0


def holm(p_values: Sequence[float], family: int | None = None) -> list[float]:
    """p-values for so many comparisons, in the order given (Holm 1979, A simple sequentially rejective procedure).

    The chance of one false claim among all those with a value under 0.05 is then at most 5 %.

    Args:
        p_values: of the comparisons.
        family: how many comparisons could have been made, where these were picked from more by the same data; those
            that are not given are taken to show nothing.
    """
    count = max(len(p_values), family or 0)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _variance_of_units(correct: np.ndarray, hits: np.ndarray, sizes: np.ndarray) -> tuple[float, float, float]:
    """Of the accuracy, by the sampling of units.

    Args:
        correct: bool [S, N].
        hits: mean over seeds, float [U].
        sizes: int [U].

    Returns:
        The variance, its degrees of freedom, and how many independent images tell as much as is expected.
    """
    images, units = correct.shape[1], len(sizes)
    shares = correct.mean(axis=0)
    of_images = float(shares.var() / max(1, images - 1))  # if all were independent
    design = 1 + ((sizes**2).sum() / images - 1) * EXPECTED_CORRELATION
    if units == images or of_images == 0:
        return of_images, max(1, units - 1), images / design
    freedom = _freedom(hits - shares.mean() * sizes)
    observed = freedom * ratio_variance(hits, sizes) + EXPECTED_WEIGHT * of_images * design
    return max(of_images, observed / (freedom + EXPECTED_WEIGHT)), freedom + EXPECTED_WEIGHT, images / design


def _freedom(rest: np.ndarray) -> float:
    """Degrees of freedom of the mean square of these: units - 1 for normal ones, 2 where one unit makes all of it."""
    units = len(rest)
    if not rest.any():
        return 1.0
    kurtosis = units * (rest**4).sum() / (rest**2).sum() ** 2
    return float(np.clip(2 * units / max(kurtosis - 1, 1e-9), 1, units - 1))
