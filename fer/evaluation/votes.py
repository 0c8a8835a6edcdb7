"""Scores against the votes of several people, where the label is only what most of them said (FER+)."""

import numpy as np
from scipy import stats

from fer.data.pack import Pack
from fer.emotions import EMOTIONS
from fer.evaluation.intervals import LEVEL, by_unit, ratio_variance
from fer.evaluation.scores import ImageScores
from fer.evaluation.split_predictions import SplitPredictions


def votes_of(pack: Pack, rows: np.ndarray, classes: list[str]) -> np.ndarray | None:
    """Shares of the votes for each class among those for any of them, float64 [n, K]; None for packs without votes.

    Where nobody voted for any of the classes, the row is NaN.
    """
    if pack.votes is None:
        return None
    votes = pack.votes[rows][:, [EMOTIONS.index(emotion) for emotion in classes]].astype(np.float64)
    total = votes.sum(axis=1, keepdims=True)
    return np.divide(votes, total, out=np.full_like(votes, np.nan), where=total > 0)


def vote_likelihoods(p: SplitPredictions) -> np.ndarray | None:
    """Negative logarithm of the likelihood of a vote of each image, nats, float64 [n]; None without votes."""
    known = _known(p)
    if known is None:
        return None
    assert p.votes is not None
    return -(p.votes[known] * np.log(np.maximum(p.probabilities[known], 1e-12))).sum(axis=1)


def vote_divergences(p: SplitPredictions) -> np.ndarray | None:
    """Kullback-Leibler divergence of the votes from the probabilities as trained, nats, float64 [n]."""
    found, known = vote_likelihoods(p), _known(p)
    if found is None or known is None:
        return None
    assert p.votes is not None
    votes = p.votes[known]
    return found + (votes * np.log(np.maximum(votes, 1e-12))).sum(axis=1)


def agreement_scores(p: SplitPredictions) -> ImageScores | None:
    """Of the chance that a voter, drawn at random, says what the model predicts."""
    return _agreement(p, p.predicted)


def majority_agreement(p: SplitPredictions) -> float | None:
    """The same for the label: no prediction of one class can do better."""
    scores = _agreement(p, p.labels)
    return None if scores is None else scores.value


def mistakes_with_votes(p: SplitPredictions) -> float | None:
    """The chance that a voter says what the model predicts, over images where that is not the label."""
    scores = agreement_scores(p)
    wrong = None if scores is None else ~p.correct[scores.rows]
    return None if scores is None or wrong is None or not wrong.any() else float(scores.values[wrong].mean())


def mean_of(values: np.ndarray | None) -> float | None:
    return None if values is None else float(values.mean())


def mean_interval(values: np.ndarray | None, p: SplitPredictions) -> list[float] | None:
    """95 % interval of a mean over images without upper limit, over people or photographs where they are known.

    Args:
        values: of the images with votes, float64 [n].
        p: the split.
    """
    known = _known(p)
    if values is None or known is None or len(values) < 2:
        return None
    sums, sizes = by_unit(values[None], None if p.units is None else p.units[known])
    if len(sizes) < 2:
        return None
    reach = stats.t.ppf(1 - LEVEL / 2, len(sizes) - 1) * np.sqrt(ratio_variance(sums[0], sizes))
    return [float(max(0.0, values.mean() - reach)), float(values.mean() + reach)]


def _known(p: SplitPredictions) -> np.ndarray | None:
    """Which images have votes, bool [N]; None where none has."""
    known = None if p.votes is None else np.isfinite(p.votes).all(axis=1)
    return known if known is not None and known.any() else None


def _agreement(p: SplitPredictions, answers: np.ndarray) -> ImageScores | None:
    known = _known(p)
    if known is None:
        return None
    assert p.votes is not None
    return ImageScores(p.votes[known][np.arange(int(known.sum())), answers[known]], known)
