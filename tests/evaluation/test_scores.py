"""Metrics that are means over images: the mean is the metric, and the interval holds the truth."""

from functools import cache

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_auroc, multiclass_f1_score

from fer.evaluation.metric_table import METRICS, compute_metrics, result_rows
from fer.evaluation.scores import (
    auroc_scores,
    balanced_accuracy_scores,
    macro_auroc_scores,
    macro_f1_scores,
    recall_scores,
    score_interval,
)
from fer.evaluation.split_predictions import SplitPredictions

CLASSES = 7
FER2013 = np.array([467, 56, 496, 895, 607, 653, 415]) / 3589  # shares of its test images
EVEN = np.full(CLASSES, 1 / CLASSES)
COMPUTED = {
    "macro F1": macro_f1_scores,
    "balanced accuracy": balanced_accuracy_scores,
    "macro AUROC": macro_auroc_scores,
    "recall of the rarest": lambda p: recall_scores(p)[1],
    "AUROC of the rarest": lambda p: auroc_scores(p)[1],
}


def drawn(generator, images, accuracy, shares, people=None):
    """Predictions of a model about so accurate: some classes are harder, and some people (correlation 0.2)."""
    subjects, able = None, np.full(images, accuracy)
    if people:
        subjects = generator.integers(0, people, images)
        able = generator.beta(accuracy * 4, (1 - accuracy) * 4, people)[subjects]
    labels = generator.choice(CLASSES, images, p=shares)
    harder = np.linspace(-0.12, 0.12, CLASSES)[labels] * min(1, (1 - accuracy) * 4)
    right = generator.random(images) < np.clip(able + harder, 0.01, 0.995)
    predicted = np.where(right, labels, (labels + generator.integers(1, CLASSES, images)) % CLASSES)
    logits, rows = generator.normal(0, 1, (images, CLASSES)), np.arange(images)
    logits[rows, labels] += 3 * accuracy * right + 0.5
    logits[rows, predicted] = logits.max(axis=1) + 0.3
    return SplitPredictions([str(k) for k in range(CLASSES)], logits.astype(np.float32), labels, rows, subjects, None)


@cache
def truths(accuracy, fer2013, people):
    """Of the model, by many images."""
    shares = FER2013 if fer2013 else EVEN
    p = drawn(np.random.default_rng(99), 100_000, accuracy, shares, 50_000 if people else None)
    return {name: compute(p).value for name, compute in COMPUTED.items()}


def coverage(images, accuracy, fer2013, people=None, experiments=100, names=tuple(COMPUTED)):
    """How often the interval of each metric holds its truth."""
    generator = np.random.default_rng(images)
    truth = truths(accuracy, fer2013, bool(people))
    held = {name: [] for name in names}
    for _ in range(experiments):
        p = drawn(generator, images, accuracy, FER2013 if fer2013 else EVEN, people)
        for name in names:
            bounds = score_interval(COMPUTED[name](p), p)
            if bounds is not None:
                held[name].append(bounds[0] <= truth[name] <= bounds[1])
    return {name: float(np.mean(found)) for name, found in held.items()}


@pytest.mark.parametrize(("images", "accuracy", "fer2013", "people"), [(400, 0.8, True, None), (400, 0.8, False, 12)])
def test_intervals_hold_the_truth(images, accuracy, fer2013, people):
    """Two standard errors of 50 experiments are 6.2 points; the slow test makes 400."""
    assert min(coverage(images, accuracy, fer2013, people, 50).values()) >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize("fer2013", [True, False])
@pytest.mark.parametrize(
    ("images", "people"), [(100, None), (400, None), (1500, None), (400, 12), (400, 60), (900, 118)]
)
def test_intervals_hold_the_truth_on_the_whole_grid(images, people, fer2013):
    for accuracy in (0.5, 0.8, 0.95):
        found = coverage(images, accuracy, fer2013, people, 400)
        print(images, people, fer2013, accuracy, found)
        assert min(found.values()) >= 0.90, (accuracy, found)


def test_the_mean_is_the_metric():
    p = drawn(np.random.default_rng(0), 300, 0.7, FER2013)
    said, labels = torch.from_numpy(p.predicted), torch.from_numpy(p.labels)
    assert macro_f1_scores(p).value == pytest.approx(float(multiclass_f1_score(said, labels, 7, average="macro")))
    assert balanced_accuracy_scores(p).value == pytest.approx(float(multiclass_accuracy(said, labels, 7)))
    areas = multiclass_auroc(torch.from_numpy(p.probabilities), labels, 7, average=None)
    assert [scores.value for scores in auroc_scores(p)] == pytest.approx(areas.tolist(), abs=1e-6)


@pytest.mark.parametrize("compute", [macro_f1_scores, balanced_accuracy_scores, macro_auroc_scores])
def test_the_variance_is_that_of_drawing_the_images_again(compute):
    generator = np.random.default_rng(0)
    p = drawn(generator, 600, 0.7, EVEN)
    scores = compute(p)
    again = []
    for _ in range(200):
        rows = generator.integers(0, 600, 600)
        again.append(compute(SplitPredictions(p.classes, p.logits[rows], p.labels[rows], rows, None, None)).value)
    assert scores.values.std() / np.sqrt(600) == pytest.approx(np.std(again), rel=0.15)


def test_all_right_is_not_certainty_and_the_smallest_class_tells():
    labels = np.repeat([0, 1, 2], [200, 200, 5])
    logits = 5 * np.eye(3, dtype=np.float32)[labels]
    p = SplitPredictions(["angry", "happy", "sad"], logits, labels, labels, None, None)
    metrics = compute_metrics(p)
    assert metrics["recall_sad_ci95"][0] == pytest.approx(0.478, abs=1e-3)  # the exact bound of 5 of 5
    assert 0.7 < metrics["balanced_accuracy_ci95"][0] < 0.85  # one of three classes may be half wrong
    assert metrics["macro_f1_ci95"][1] == 1
    assert metrics["auroc_sad_ci95"][0] < 0.6


def test_one_person_and_a_class_without_images_have_no_interval():
    p = drawn(np.random.default_rng(0), 60, 0.7, EVEN)
    logits = np.pad(p.logits, ((0, 0), (0, 1)), constant_values=-9.0)
    alone = SplitPredictions([*p.classes, "no image"], logits, p.labels, p.names, np.full(60, "S1"), None)
    metrics = compute_metrics(alone)
    assert metrics["macro_f1_ci95"] is metrics["recall_no image_ci95"] is metrics["auroc_no image_ci95"] is None


def test_every_metric_of_quality_is_shown_with_its_interval():
    p = drawn(np.random.default_rng(0), 200, 0.7, EVEN)
    metrics = {f"test/{name}": value for name, value in compute_metrics(p).items()}
    shown = dict(result_rows("report", metrics, ["test"]))
    low, high = metrics["test/macro_f1_ci95"]
    assert shown["macro F1"] == f"{metrics['test/macro_f1']:.4f} [{low:.4f}, {high:.4f}]"
    with_scores = {metric.key for metric in METRICS if metric.scores}
    assert with_scores >= {"macro_f1", "balanced_accuracy", "macro_auroc", "recall", "auroc", "accuracy_deduplicated"}


def test_the_majority_is_a_baseline():
    labels = np.repeat([0, 1], [30, 10])
    p = SplitPredictions(["angry", "happy"], np.zeros((40, 2), np.float32), labels, labels, None, None)
    metrics = compute_metrics(p)
    assert (metrics["accuracy_majority"], metrics["accuracy_chance"]) == (0.75, 0.5)
