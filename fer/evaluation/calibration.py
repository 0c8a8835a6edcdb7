"""How far a calibration error is more than chance.

The error (ECE) is a sum of absolute gaps, so noise alone makes it positive: a perfectly calibrated model of seven
classes scores about 0.12 on 99 images and 0.02 on 3,589. That value is given beside it. The interval undoes the same:
it holds those multiples of the gaps found that, with the noise of so many images or people, give an error as large as
the one observed (inversion of a test; Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 12.3).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fer.evaluation.intervals import LEVEL
from fer.evaluation.split_predictions import SplitPredictions

BINS = 15  # of equal width (Guo et al. 2017)
DRAWS = 1000
MOST_DRAWN = 4_000_000  # answers drawn in all; of large splits fewer draws are needed
FEW = 3  # units in a bin whose spread tells nothing yet


@dataclass(frozen=True)
class Gaps:
    """Confidence against accuracy."""

    confidence: np.ndarray  # of each image's answer, float [N]
    correct: np.ndarray  # bool [N]
    bin_of: np.ndarray  # int [N]
    subjects: np.ndarray | None

    @classmethod
    def of(cls, p: SplitPredictions, calibrated: bool = False) -> "Gaps":
        confidence = (p.calibrated if calibrated else p.probabilities).max(axis=1)
        bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
        return cls(confidence, p.correct, bins, p.units)

    def by_bin(self, values: np.ndarray) -> np.ndarray:
        """Sums by all images, float [BINS]."""
        return np.bincount(self.bin_of, values, BINS) / len(values)

    @property
    def observed(self) -> np.ndarray:
        """Gap of each bin, weighted with its images, float [BINS]; their absolute sum is the error."""
        return self.by_bin(self.correct - self.confidence)


def ece_if_calibrated(gaps: Gaps) -> float:
    """The mean error of a model that gives these probabilities, all of which are true, on so many images.

    Where people are known, not less than their likeness alone would give.
    """
    of_people = np.abs(_noise(gaps, DRAWS)).sum(axis=1).mean() if gaps.subjects is not None else 0.0
    return float(max(_errors_if_calibrated(gaps).mean(), of_people))


def _errors_if_calibrated(gaps: Gaps) -> np.ndarray:
    """Errors where each answer is right with the probability that the model gives: float [draws]."""
    generator, confidence = np.random.default_rng(0), gaps.confidence
    draws = int(np.clip(MOST_DRAWN // len(confidence), 50, DRAWS))
    drawn = (generator.random(len(confidence)) < confidence for _ in range(draws))
    return np.array([np.abs(gaps.by_bin(correct - confidence)).sum() for correct in drawn])


def ece_interval(gaps: Gaps) -> list[float] | None:
    """95 % interval of the calibration error; None for images of one person."""
    if gaps.subjects is not None and len(np.unique(gaps.subjects)) == 1:
        return None
    observed, noise = gaps.observed, _noise(gaps, DRAWS)
    units = len(gaps.correct) if gaps.subjects is None else len(np.unique(gaps.subjects))
    noise *= stats.t.ppf(1 - LEVEL / 2, units - 1) / stats.norm.ppf(1 - LEVEL / 2)
    error, alike = np.abs(observed).sum(), np.bincount(gaps.bin_of, minlength=BINS) / len(gaps.correct)

    def at_least(truth: float, shape: np.ndarray) -> float:
        """How often a true error of that size gives an error no less than the observed one."""
        return float((np.abs(truth * shape + noise).sum(axis=1) >= error).mean())

    shapes = [observed / max(error, 1e-9), alike]  # gaps as they were found; or the same gap in all bins
    by_chance = max(at_least(0.0, alike), float((_errors_if_calibrated(gaps) >= error).mean()))
    low = 0.0 if by_chance > LEVEL / 2 else _crossing(at_least, LEVEL / 2, shapes[0])
    high = max(_crossing(at_least, 1 - LEVEL / 2, shape) for shape in shapes)
    return [min(low, float(error)), high]


def _crossing(rising: Callable[[float, np.ndarray], float], level: float, shape: np.ndarray) -> float:
    """The error, from 0 to 1, at which a rising function reaches a level; by halving."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle, shape) < level else (low, middle)
    return (low + high) / 2


def _noise(gaps: Gaps, draws: int) -> np.ndarray:
    """What the gaps of other images, or people, would differ by: float [draws, BINS].

    The residuals of each unit times a random normal number (wild bootstrap; Wu 1986, Jackknife, bootstrap and other
    resampling methods in regression analysis); in bins of few units that of a share.
    """
    generator = np.random.default_rng(1)
    count = len(gaps.correct)
    units = np.arange(count) if gaps.subjects is None else np.unique(gaps.subjects, return_inverse=True)[1]
    in_bin = np.maximum(np.bincount(gaps.bin_of, minlength=BINS), 1)
    rest = (gaps.correct - gaps.confidence - (gaps.observed * count / in_bin)[gaps.bin_of]) / count
    sums = np.zeros((int(units.max()) + 1, BINS))
    np.add.at(sums, (units, gaps.bin_of), rest)
    known = np.bincount(np.unique(units * BINS + gaps.bin_of) % BINS, minlength=BINS)  # units in each bin
    sums *= np.sqrt(known / np.maximum(known - 1, 1))
    if gaps.subjects is None:  # bins have no image in common, and their noise is independent
        found = generator.standard_normal((draws, BINS)) * np.sqrt((sums**2).sum(axis=0))
    else:
        found = np.concatenate([generator.standard_normal((100, len(sums))) @ sums for _ in range(draws // 100)])
    right = np.bincount(gaps.bin_of, gaps.correct, BINS)
    share = (right + 1) / (np.bincount(gaps.bin_of, minlength=BINS) + 2)
    few = (known > 0) & (known < FEW)
    spread = np.sqrt(share * (1 - share) * np.bincount(gaps.bin_of, minlength=BINS)) / count
    found[:, few] = generator.standard_normal((len(found), int(few.sum()))) * spread[few]
    return found
