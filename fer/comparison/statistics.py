"""How sure a mean over seeds and test images is, and the difference of two: hierarchical bootstrap, Holm.

Two things vary: which images (or people) were tested, and which seed drew the weights and the order of the data. Seeds
and images are crossed, for every seed is tested on the same images. What they share must not be counted twice:
resampling both as they are counts the noise of single images under single seeds three times (Owen 2007, The pigeonhole
bootstrap, section 3; Davison & Hinkley 1997, Bootstrap Methods, section 3.8), and an interval of 95 % then holds 99 %.
So images are resampled with what every seed made of them, and seeds vary by what they differ beyond that noise.

Three seeds resampled say nothing of tails (there are ten ways to draw them), and a bootstrap of few units is too
narrow: both get Student's t in place of the normal tail (Hesterberg 2015, What Teachers Should Know About the
Bootstrap, The American Statistician 69, section 3.2). `tests/comparison/test_statistics.py` measures what that gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer.evaluation.metrics import accuracy_interval

RESAMPLES = 10_000
CELLS = 4_000_000  # numbers held at once while resampling


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float
    p: float = float("nan")  # of there being no difference, two-sided; of differences only


def by_unit(correct: np.ndarray, subjects: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Right answers and images of each unit that is drawn as a whole: an image, or a person where several are known.

    Args:
        correct: bool [S, N], of S seeds on N images.
        subjects: who is on each image, str [N].

    Returns:
        Right answers, int [S, U], and images, int [U].
    """
    if subjects is None or len(np.unique(subjects)) == 1:
        return correct.astype(np.int64), np.ones(correct.shape[1], dtype=np.int64)
    people, person = np.unique(subjects, return_inverse=True)
    hits = np.array([np.bincount(person, row, len(people)) for row in correct]).round().astype(np.int64)
    return hits, np.bincount(person)


@dataclass(frozen=True)
class SeedSpread:
    """How much accuracy varies between seeds, beyond the noise of single images."""

    variance: float  # of one seed
    freedom: int  # degrees


def seed_spread(of: Sequence[tuple[np.ndarray, np.ndarray | None]]) -> SeedSpread:
    """Over several networks that are taken to vary alike; each as `correct` and `subjects` of `mean_accuracy`."""
    freedom = sum(len(correct) - 1 for correct, _ in of)
    total = sum((len(correct) - 1) * _variance_of_seeds(*by_unit(correct, subjects)) for correct, subjects in of)
    return SeedSpread(total / max(freedom, 1), freedom)


def mean_accuracy(
    correct: np.ndarray,
    subjects: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    spread: SeedSpread | None = None,
) -> Estimate:
    """Accuracy averaged over seeds. One seed: the interval of that trained network, over images or people alone.

    Args:
        correct: bool [S, N].
        subjects: str [N].
        spread: between seeds, where more is known of it than these S tell.
        resamples: of images or people.
        seed: of the resampling.
    """
    seeds = len(correct)
    value = float(correct.mean())
    if seeds == 1 or correct.all() or not correct.any():
        return Estimate(value, *accuracy_interval(correct[0], subjects))
    hits, sizes = by_unit(correct, subjects)
    generator = np.random.default_rng(seed)
    right, asked = hits.sum(axis=0), sizes * seeds
    draws = _resample(right / seeds, sizes, generator, resamples)
    rare = int(min((right < asked).sum(), (right > 0).sum()))
    draws = value + _heavier(draws - value, rare, generator)
    spread = spread or seed_spread([(correct, subjects)])
    draws += np.sqrt(spread.variance / seeds) * generator.standard_t(spread.freedom, resamples)
    low, high = np.quantile(draws.clip(0, 1), [0.025, 0.975])
    if _alike(right, sizes):
        reach = _reach(len(sizes))
        low, high = min(low, (1 - reach) * value), max(high, (1 - reach) * value + reach)
    return Estimate(value, float(low), float(high))


def paired_difference(
    first: np.ndarray, second: np.ndarray, subjects: np.ndarray | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Accuracy of the first less that of the second on the same images, each averaged over its own seeds.

    Seeds of one are no partners of the other's; both are taken to vary alike, as in Student's two-sample test, so that
    three seeds each give four degrees of freedom. One seed each: a comparison of two trained networks, blind to what
    other seeds would have given.

    Args:
        first: bool [S, N].
        second: bool [T, N], of the same N images.
        subjects: str [N].
        resamples: of images or people.
        seed: of the resampling.
    """
    s, t = len(first), len(second)
    (hits, sizes), (other_hits, _) = by_unit(first, subjects), by_unit(second, subjects)
    gained = hits.sum(axis=0) * t - other_hits.sum(axis=0) * s  # whole numbers, so that equal ones are found equal
    value = float(gained.sum() / (s * t) / sizes.sum())
    generator = np.random.default_rng(seed)
    differing = int((gained != 0).sum())
    draws = _resample(gained / (s * t), sizes, generator, resamples)
    draws = value + _heavier(draws - value, differing, generator)
    spread = seed_spread([(first, subjects), (second, subjects)])
    if spread.freedom:
        draws += np.sqrt(spread.variance * (1 / s + 1 / t)) * generator.standard_t(spread.freedom, resamples)
    low, high = np.quantile(draws.clip(-1, 1), [0.025, 0.975])
    beyond = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
    p = min(1.0, 2 * (1 + beyond) / (1 + resamples))
    if _alike(gained, sizes):
        reach = _reach(len(sizes))
        low, high = min(low, (1 - reach) * value - reach), max(high, (1 - reach) * value + reach)
        p = max(p, min(1.0, 2 * (1 + abs(value)) ** -len(sizes)))  # the level at which that bound would reach 0
    return Estimate(value, float(low), float(high), p)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values for so many comparisons, in the order given (Holm 1979, A simple sequentially rejective procedure).

    The chance of one false claim among all those with a value under 0.05 is then at most 5 %.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _alike(sums: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether all units have the same mean, so that resampling them has nothing to say.

    Args:
        sums: of each unit, int [U].
        sizes: int [U].
    """
    return bool((sums * sizes[0] == sums[0] * sizes).all())


def _reach(units: int) -> float:
    """The largest share of units unlike so many that are all alike: the exact bound (Clopper & Pearson 1934)."""
    return float(1 - 0.025 ** (1 / units))


def _resample(right: np.ndarray, sizes: np.ndarray, generator: np.random.Generator, resamples: int) -> np.ndarray:
    """Sum of `right` by sum of `sizes` over units drawn with replacement, float [resamples].

    Units that are alike are drawn together: how often each kind comes is multinomial, and there are few kinds.
    """
    kinds, counts = np.unique(np.column_stack([right, sizes]), axis=0, return_counts=True)
    draws = []
    for start in range(0, resamples, chunk := max(1, CELLS // len(kinds))):
        drawn = generator.multinomial(counts.sum(), counts / counts.sum(), min(chunk, resamples - start))
        draws.append((drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1]))
    return np.concatenate(draws)


def _heavier(deviations: np.ndarray, units: int, generator: np.random.Generator) -> np.ndarray:
    """Deviations with the tails of Student's t for so many units that tell anything."""
    freedom = max(1, units - 1)
    return deviations * np.sqrt(freedom / generator.chisquare(freedom, len(deviations)))


def _variance_of_seeds(hits: np.ndarray, sizes: np.ndarray) -> float:
    """Variance of accuracy between seeds beyond the noise of units, by the two-way analysis of variance; 0 or more.

    Args:
        hits: int [S, U].
        sizes: int [U].
    """
    seeds, units = hits.shape
    if seeds == 1 or units == 1:
        return 0.0
    shares = hits / sizes.mean()  # whose mean over units is a seed's accuracy
    of_seeds = shares.mean(axis=1)
    rest = shares - shares.mean(axis=0) - of_seeds[:, None] + shares.mean()
    noise = (rest**2).sum() / ((seeds - 1) * (units - 1))
    return max(0.0, float(of_seeds.var(ddof=1) - noise / units))
