"""The calibration error has an interval, and the value that a perfectly calibrated model would score beside it."""

import numpy as np
import pytest
from scipy.stats import norm

from fer.evaluation.calibration import BINS, Gaps, ece_if_calibrated, ece_interval
from fer.evaluation.metric_table import compute_metrics, result_rows
from fer.evaluation.metrics import expected_calibration_error
from fer.evaluation.split_predictions import SplitPredictions, softmax


def answered(generator, images, sharpness=1.0, people=None):
    """Gaps of a model of seven classes that is so many times as sure as it may be, and its true confidence."""
    logits = generator.normal(0, 2, (images, 7)) * np.exp(generator.normal(0, 0.4, (images, 1)))
    luck, subjects = generator.random(images), None
    if people:  # images of one person are right together (correlation 0.2)
        subjects = generator.integers(0, people, images)
        own = generator.normal(0, 1, people)[subjects]
        luck = norm.cdf(np.sqrt(0.2) * own + np.sqrt(0.8) * generator.normal(0, 1, images))
    truth, confidence = softmax(logits).max(axis=1), softmax(logits * sharpness).max(axis=1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return Gaps(confidence, luck < truth, bins, subjects), truth


def coverage(images, sharpness, people=None, experiments=100):
    """How often the interval holds the error that many images would show."""
    many, truth = answered(np.random.default_rng(9), 100_000, sharpness)
    error = np.abs(many.by_bin(truth - many.confidence)).sum()
    generator, held = np.random.default_rng(images), 0
    for _ in range(experiments):
        low, high = ece_interval(answered(generator, images, sharpness, people)[0])
        held += low <= error <= high
    return held / experiments


@pytest.mark.parametrize(("images", "sharpness", "people"), [(300, 1.0, None), (300, 1.6, None), (400, 2.5, 12)])
def test_the_interval_holds_the_truth(images, sharpness, people):
    """Two standard errors of 60 experiments are 5.6 points."""
    assert coverage(images, sharpness, people, 60) >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "people"), [(99, None), (400, None), (3589, None), (400, 12), (900, 60), (900, 118)]
)
@pytest.mark.parametrize("sharpness", [0.6, 1.0, 1.2, 1.6, 2.5])
def test_the_interval_holds_the_truth_on_the_whole_grid(images, people, sharpness):
    found = coverage(images, sharpness, people, 400)
    print(images, people, sharpness, found)
    assert found >= 0.88


@pytest.mark.parametrize(("images", "expected"), [(99, 0.118), (927, 0.040), (3589, 0.020)])
def test_a_perfectly_calibrated_model_has_an_error_by_chance(images, expected):
    """As simulated independently of this code (seven classes)."""
    gaps, truth = answered(np.random.default_rng(0), images)
    assert ece_if_calibrated(gaps) == pytest.approx(expected, rel=0.12)
    generator = np.random.default_rng(1)
    again = [np.abs(gaps.by_bin((generator.random(images) < truth) - truth)).sum() for _ in range(300)]
    assert ece_if_calibrated(gaps) == pytest.approx(np.mean(again), rel=0.05)


def test_an_error_that_chance_gives_has_an_interval_from_zero():
    gaps = answered(np.random.default_rng(0), 200)[0]
    assert ece_interval(gaps)[0] == 0
    assert ece_interval(answered(np.random.default_rng(0), 2000, 2.5)[0])[0] > 0.15


def split(images=120, **more):
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(0, 2, (images, 7)).astype(np.float32), generator.integers(0, 7, images)
    return SplitPredictions([str(k) for k in range(7)], logits, labels, labels, None, None, **more)


def test_gaps_sum_to_the_error():
    p = split()
    assert np.abs(Gaps.of(p).observed).sum() == pytest.approx(expected_calibration_error(p.logits, p.labels), abs=1e-6)
    metrics = compute_metrics(p)
    assert metrics["ece_ci95"][0] <= metrics["ece"] <= metrics["ece_ci95"][1]
    assert metrics["ece_if_calibrated"] == pytest.approx(0.11, abs=0.03)


def test_images_of_one_person_have_none():
    p = split()
    assert ece_interval(Gaps(*vars(Gaps.of(p)).values())) is not None
    gaps = Gaps.of(p)
    assert ece_interval(Gaps(gaps.confidence, gaps.correct, gaps.bin_of, np.full(120, "S1"))) is None


def test_values_on_the_images_of_the_temperature_are_marked():
    metrics = {}
    for name, in_sample in (("val", True), ("test", False)):
        found = compute_metrics(split(split=name, temperature_in_sample=in_sample, temperature=2.0))
        metrics |= {f"{name}/{key}": value for key, value in found.items()}
    rows = {row[0]: row[1:] for row in result_rows("report", metrics, ["val", "test"])}
    for label in ("calibration error (ECE), calibrated", "negative log-likelihood, calibrated"):
        assert [text.endswith("(in-sample)") for text in rows[label]] == [True, False]
    assert not any(text.endswith("(in-sample)") for text in rows["accuracy"])
