"""Prediction sets hold the truth as often as promised, whatever the model; metrics, files and API have them."""

import json

import numpy as np
import pytest

from fer.evaluation.conformal import fit_set_threshold, prediction_sets
from fer.evaluation.evaluation import Evaluation
from fer.evaluation.metric_table import compute_metrics
from fer.evaluation.split_predictions import SplitPredictions, softmax
from fer.reporting.write import write_evaluation
from fer.runs.folder import RunFolder


def answered(generator, images, sharpness):
    """Probabilities of a model that is so many times as sure as it may be, and the truth."""
    logits = generator.normal(0, 2, (images, 7))
    truth = (softmax(logits).cumsum(axis=1) > generator.random((images, 1))).argmax(axis=1)
    return softmax(logits * sharpness), truth


def covered(validation, sharpness, experiments=300):
    """The share of test sets that hold the truth, on average over validation sets."""
    generator = np.random.default_rng(validation)
    found = []
    for _ in range(experiments):
        threshold = fit_set_threshold(*answered(generator, validation, sharpness))
        probabilities, truth = answered(generator, 500, sharpness)
        found.append(prediction_sets(probabilities, threshold)[np.arange(500), truth].mean())
    return float(np.mean(found))


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("validation", [30, 400])
def test_sets_hold_the_truth_as_often_as_promised(validation, sharpness):
    """On average over validation sets the coverage is at least 90 %, and hardly more where these are large."""
    found = covered(validation, sharpness)
    assert 0.893 <= found <= 0.9 + 1 / (validation + 1) + 0.02


def test_few_images_promise_nothing_less_than_all_classes():
    probabilities, truth = answered(np.random.default_rng(0), 8, 1.0)
    assert fit_set_threshold(probabilities, truth) == 0
    assert prediction_sets(probabilities, 0.0).all()


def test_a_set_is_never_empty():
    assert prediction_sets(np.array([[0.4, 0.35, 0.25]]), 0.9).tolist() == [[True, False, False]]


def test_metrics_have_coverage_with_its_interval_size_and_classes(tmp_path):
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(0, 2, (200, 3)).astype(np.float32), generator.integers(0, 3, 200)
    p = SplitPredictions(["angry", "happy", "sad"], logits, labels, np.arange(200).astype(str), None, None,
                         set_threshold=0.2)  # fmt: skip
    metrics = compute_metrics(p)
    sets = softmax(logits) >= 0.2
    assert metrics["set_coverage"] == sets[np.arange(200), labels].mean()
    assert metrics["set_coverage_ci95"][0] < metrics["set_coverage"] < metrics["set_coverage_ci95"][1]
    assert metrics["set_size"] == sets.sum(axis=1).mean()
    assert metrics["set_coverage_of_sad"] == sets[labels == 2, 2].mean()
    of_test = {f"test/{name}": value for name, value in metrics.items()}
    write_evaluation(Evaluation(p, of_test, 1.0, "val", 0.2), RunFolder(tmp_path), figures=False)
    assert RunFolder(tmp_path).read_set_threshold() == 0.2
    assert "prediction sets that hold the truth (90% promised)" in RunFolder(tmp_path).report_file.read_text()


def test_a_calibration_of_an_older_version_has_no_sets(tmp_path):
    (tmp_path / "calibration.json").write_text(json.dumps({"temperature": 1.5, "fitted_on": "val"}))
    assert RunFolder(tmp_path).read_set_threshold() is None
    assert RunFolder(tmp_path).read_temperature() == 1.5
