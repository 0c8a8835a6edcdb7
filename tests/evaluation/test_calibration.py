"""Temperature scaling finds what was done to the logits."""

import numpy as np
import pytest

from fer.evaluation.metrics import MAX_TEMPERATURE, MIN_TEMPERATURE, expected_calibration_error, fit_temperature


@pytest.fixture(scope="module")
def calibrated():
    """Logits whose softmax is the truth, and labels drawn from it."""
    generator = np.random.default_rng(0)
    logits = 1.5 * generator.normal(size=(20_000, 7))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) > generator.random((20_000, 1))).argmax(axis=1)
    return logits.astype(np.float32), labels


@pytest.mark.parametrize("scale", [0.1, 0.5, 1.0, 2.5, 12.0])
def test_a_known_scale_is_recovered(calibrated, scale):
    logits, labels = calibrated
    assert fit_temperature(scale * logits, labels) == pytest.approx(scale, rel=0.05)


def test_the_temperature_calibrates(calibrated):
    logits, labels = calibrated
    sure = 4 * logits
    assert expected_calibration_error(sure, labels) > 0.2
    assert expected_calibration_error(sure / fit_temperature(sure, labels), labels) < 0.02


def test_labels_that_are_all_right_or_all_wrong_stay_within_bounds(calibrated):
    logits, _labels = calibrated
    assert MIN_TEMPERATURE * 0.99 <= fit_temperature(logits, logits.argmax(axis=1)) < 1
    assert fit_temperature(logits, logits.argmin(axis=1)) == pytest.approx(MAX_TEMPERATURE, rel=0.01)


def test_one_image_is_enough():
    assert (
        MIN_TEMPERATURE * 0.99
        <= fit_temperature(np.array([[2.0, 0.0]], dtype=np.float32), np.array([0]))
        <= MAX_TEMPERATURE
    )


def test_logits_that_say_nothing_keep_a_finite_temperature():
    temperature = fit_temperature(np.zeros((10, 3), dtype=np.float32), np.zeros(10, dtype=np.int64))
    assert np.isfinite(temperature)


def test_a_few_images_that_are_all_right_do_not_make_the_model_certain():
    """As the validation images of a fold of CK+ may be: without the prior the temperature falls to its least value."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 100)
    logits = generator.normal(size=(100, 7)).astype(np.float32)
    logits[np.arange(100), labels] += 8
    assert (logits.argmax(axis=1) == labels).all()
    scaled = logits / fit_temperature(logits, labels)
    probabilities = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
    assert 0.97 < probabilities.max(axis=1).mean() < 0.999
