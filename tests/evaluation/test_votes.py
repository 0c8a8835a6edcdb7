"""Scores against votes: what a model of the votes themselves would score, and intervals that hold the truth."""

from dataclasses import replace

import numpy as np
import pytest

from fer.evaluation.metric_table import compute_metrics
from fer.evaluation.split_predictions import SplitPredictions
from fer.evaluation.votes import mean_interval, vote_divergences, vote_likelihoods


def voted(generator, images=300, classes=4, people=None):
    """Predictions of a model, with ten votes for each image."""
    shares = generator.dirichlet(np.ones(classes), images)
    votes = generator.multinomial(10, shares) / 10
    subjects = None if people is None else generator.integers(0, people, images).astype(str)
    logits = (np.log(shares) + generator.normal(0, 0.5, shares.shape)).astype(np.float32)
    names = [f"e{k}" for k in range(classes)]
    return SplitPredictions(names, logits, votes.argmax(axis=1), np.arange(images), subjects, None, votes=votes)


def test_who_predicts_the_shares_of_the_votes_has_no_divergence_and_none_scores_better():
    p = voted(np.random.default_rng(0))
    same = replace(p, logits=np.log(np.maximum(p.votes, 1e-9)).astype(np.float32))
    assert compute_metrics(same)["vote_kl"] == pytest.approx(0, abs=1e-5)
    metrics = compute_metrics(p)
    assert metrics["vote_kl"] > 0
    assert metrics["vote_nll"] > compute_metrics(same)["vote_nll"]
    assert metrics["vote_agreement"] < metrics["vote_agreement_of_labels"]
    assert compute_metrics(same)["vote_agreement"] == pytest.approx(metrics["vote_agreement_of_labels"])


def test_agreement_is_the_share_of_the_votes():
    votes = np.array([[0.7, 0.3, 0], [0.2, 0.8, 0], [np.nan] * 3])
    logits = np.log(np.array([[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.9, 0.05, 0.05]])).astype(np.float32)
    p = SplitPredictions(["a", "b", "c"], logits, np.array([0, 1, 0]), np.arange(3), None, None, votes=votes)
    metrics = compute_metrics(p)
    assert metrics["vote_agreement"] == pytest.approx(0.45)
    assert metrics["vote_agreement_of_labels"] == pytest.approx(0.75)
    assert metrics["vote_agreement_of_mistakes"] == pytest.approx(0.2)


def test_without_votes_there_are_no_such_scores():
    p = replace(voted(np.random.default_rng(0)), votes=None)
    metrics = compute_metrics(p)
    assert metrics["vote_kl"] is metrics["vote_kl_ci95"] is metrics["vote_agreement"] is None


@pytest.mark.parametrize("people", [None, 25])
@pytest.mark.parametrize("score", [vote_divergences, vote_likelihoods])
def test_intervals_hold_the_truth(score, people):
    """Two standard errors of 150 experiments are 3.6 points."""
    truth = float(score(voted(np.random.default_rng(1), 100_000)).mean())
    generator, held = np.random.default_rng(2), 0
    for _ in range(150):
        p = voted(generator, 200, people=people)
        low, high = mean_interval(score(p), p)
        held += low <= truth <= high
    assert held / 150 >= 0.90
