"""How sure a mean over seeds and test images is, and the difference of two: Welch's t-test over both.

Two things vary: which images (or people) were tested, and which seed drew the weights and the order of the data. Seeds
and images are crossed, for every seed is tested on the same images. What they share must not be counted twice
(Owen 2007, The pigeonhole bootstrap, section 3; Davison & Hinkley 1997, Bootstrap Methods, section 3.8): the variance
over images is that of what all seeds together answer, and seeds vary by what they differ beyond that noise.

Each model has its own variance between seeds: one may be steady and the other not, and a common variance would then
claim far too much (Welch 1947, The generalization of Student's problem; Satterthwaite 1946).
`tests/comparison/test_statistics.py` measures what that gives.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from fer.evaluation.intervals import (
    LEVEL,
    SeedSpread,
    accuracy_interval,
    by_unit,
    freedom_of_sum,
    ratio_variance,
    seed_spread,
)

POWER = 0.8  # chance that a difference is shown, for the smallest that a comparison could have shown


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float
    p: float = float("nan")  # of there being no difference, two-sided; of differences only
    error: float = float("nan")  # standard error; of differences only
    freedom: float = float("nan")  # its degrees of freedom

    def detectable(self, family: int = 1) -> float:
        """The smallest true difference that such a comparison would show in 8 of 10 cases, by the same t-test.

        Args:
            family: how many comparisons share the 5 %.
        """
        quantiles = stats.t.ppf([1 - LEVEL / 2 / family, POWER], self.freedom)
        return float(quantiles.sum() * self.error)


def mean_accuracy(
    correct: np.ndarray,
    subjects: np.ndarray | None = None,
    spread: SeedSpread | None = None,
    folds: np.ndarray | None = None,
) -> Estimate | None:
    """Accuracy averaged over seeds, with the interval of `accuracy_interval`; None where that does not exist."""
    bounds = accuracy_interval(correct, subjects, spread, folds)
    return None if bounds is None else Estimate(float(correct.mean()), *bounds)


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    subjects: np.ndarray | None = None,
    differing: np.ndarray | None = None,
) -> Estimate:
    """Accuracy of the first less that of the second on the same images, each averaged over its own seeds.

    So too for other metrics that are means over images (`fer.evaluation.scores`).

    With one seed on a side nothing is known of what other seeds of it would give: then the difference is that of these
    trained networks, for new images or people alone.

    Args:
        first: bool or float [S, N].
        second: bool or float [T, N], of the same N images.
        subjects: str [N].
        differing: which images the two answer differently, bool [N]; None where all scores tell.
    """
    s, t = len(first), len(second)
    (hits, sizes), (other_hits, _) = by_unit(first, subjects), by_unit(second, subjects)
    gained = hits.sum(axis=0) * t - other_hits.sum(axis=0) * s  # whole numbers, so that equal ones are found equal
    value = float(gained.sum() / (s * t) / sizes.sum())
    variance = ratio_variance(gained / (s * t), sizes)
    telling = float((gained != 0).sum())  # units that gain nothing tell nothing of tails
    if differing is not None:  # images of rare classes weigh far more: so many equal ones would tell as much
        squares = gained[by_unit(differing[None], subjects)[0][0] > 0] ** 2
        telling = float(squares.sum() ** 2 / (squares**2).sum()) if squares.any() else 0.0
    parts = [(variance, max(1.0, telling - 1))]
    if min(s, t) > 1:
        for seeds, of in ((s, hits), (t, other_hits)):
            spread = seed_spread([(of, sizes)])
            variance += spread.variance / seeds
            parts.append((spread.observed / seeds, spread.freedom))
    freedom, error = freedom_of_sum(parts), np.sqrt(variance)
    reach = stats.t.ppf(1 - LEVEL / 2, freedom) * error
    low, high = np.clip([value - reach, value + reach], -1, 1)
    p = 2 * stats.t.sf(abs(value) / error, freedom) if error > 0 else float(value == 0)
    if _alike(gained, sizes):
        error, freedom = max(float(error), (1 - (LEVEL / 2) ** (1 / len(sizes))) / 2), 1e6
        unlike = 1 - (LEVEL / 2) ** (1 / len(sizes))  # the largest share of units, where none is (Clopper & Pearson)
        low, high = min(low, (1 - unlike) * value - unlike), max(high, (1 - unlike) * value + unlike)
        p = max(p, min(1.0, 2 * (1 + abs(value)) ** -len(sizes)))  # the level at which that bound would reach 0
    return Estimate(value, float(low), float(high), float(p), float(error), float(freedom))


def _alike(sums: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether all units have the same mean, so that there is no variance to measure.

    Args:
        sums: of each unit, int [U].
        sizes: int [U].
    """
    return bool((sums * sizes[0] == sums[0] * sizes).all())
