"""Numbers against hand computations and against torchmetrics; intervals that mean what they say."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from fer.evaluation.metrics import (
    accuracy_interval,
    classification_metrics,
    expected_calibration_error,
)


def one_hot_logits(predicted: list[int], classes: int, size: float = 4.0) -> np.ndarray:
    return (size * np.eye(classes)[predicted]).astype(np.float32)


@pytest.fixture
def drawn():
    """300 images of 5 classes, about half of them right."""
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 5, 300)
    logits = generator.normal(size=(300, 5)) + 1.5 * np.eye(5)[labels]
    return logits.astype(np.float32), labels


def test_numbers_of_four_images_by_hand():
    """Truth 0 0 1 2, said 0 1 1 1: class 0 has F1 2/3, class 1 2/4, class 2 none; recalls 1/2, 1, 0."""
    labels = np.array([0, 0, 1, 2])
    logits = one_hot_logits([0, 1, 1, 1], 3)
    numbers = classification_metrics(logits, labels)
    assert numbers["accuracy"] == pytest.approx(0.5)
    assert numbers["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert numbers["balanced_accuracy"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    sure = np.exp(4) / (np.exp(4) + 2)
    assert numbers["nll"] == pytest.approx(-(2 * np.log(sure) + 2 * np.log((1 - sure) / 2)) / 4)
    assert numbers["ece"] == pytest.approx(abs(sure - 0.5))
    assert numbers["images"] == 4


def test_numbers_agree_with_torchmetrics(drawn):
    logits, labels = drawn
    scores, targets = torch.from_numpy(logits), torch.from_numpy(labels)
    numbers = classification_metrics(logits, labels)
    assert numbers["accuracy"] == pytest.approx(float(multiclass_accuracy(scores, targets, 5, average="micro")))
    assert numbers["balanced_accuracy"] == pytest.approx(float(multiclass_accuracy(scores, targets, 5)))
    assert numbers["macro_f1"] == pytest.approx(float(multiclass_f1_score(scores, targets, 5)))


def test_perfect_predictions():
    labels = np.arange(70) % 7
    numbers = classification_metrics(one_hot_logits(list(labels), 7, 30.0), labels)
    for name in ("accuracy", "macro_f1", "balanced_accuracy", "accuracy_deduplicated"):
        assert numbers[name] == 1.0
    assert numbers["accuracy_ci95"][1] == 1.0
    assert numbers["nll"] == pytest.approx(0, abs=1e-6)
    assert numbers["ece"] == pytest.approx(0, abs=1e-6)


def test_predictions_that_are_all_wrong():
    labels = np.arange(70) % 7
    numbers = classification_metrics(one_hot_logits(list((labels + 1) % 7), 7, 30.0), labels)
    for name in ("accuracy", "macro_f1", "balanced_accuracy"):
        assert numbers[name] == 0.0
    assert numbers["accuracy_ci95"][0] == 0.0
    assert numbers["ece"] == pytest.approx(1, abs=1e-6)


def test_a_class_that_nobody_shows_and_nobody_names_does_not_count():
    labels = np.array([0, 0, 1, 1])
    numbers = classification_metrics(one_hot_logits([0, 0, 1, 1], 3), labels)
    assert numbers["macro_f1"] == numbers["balanced_accuracy"] == 1.0


def test_a_class_that_is_only_named_costs_f1():
    labels = np.array([0, 0, 1, 1])
    numbers = classification_metrics(one_hot_logits([0, 0, 1, 2], 3), labels)
    assert numbers["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert numbers["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)


def test_one_image():
    numbers = classification_metrics(one_hot_logits([1], 3), np.array([1]), subjects=np.array(["S1"]))
    assert numbers["accuracy"] == 1.0
    assert numbers["accuracy_ci95"] == [pytest.approx(0.025), 1.0]


@pytest.mark.parametrize(("right", "edge"), [(True, 0.8843), (False, 0.1157)])
def test_all_right_or_all_wrong_is_not_certainty(right, edge):
    """The exact interval of 30 of 30 and of 0 of 30, as in any table."""
    assert edge == pytest.approx(accuracy_interval(np.full(30, right))[0 if right else 1], abs=1e-4)
    people = np.repeat([f"S{n}" for n in range(30)], 8)
    assert accuracy_interval(np.full(240, right), people) == accuracy_interval(np.full(30, right))


def test_one_subject_has_no_spread_between_subjects():
    correct = np.arange(40) % 4 > 0
    assert accuracy_interval(correct, np.full(40, "S1")) == accuracy_interval(correct)


def test_the_temperature_touches_the_calibrated_error_alone(drawn):
    logits, labels = drawn
    plain, cooled = (classification_metrics(logits, labels, temperature=t) for t in (1.0, 3.0))
    assert plain["ece"] == plain["ece_calibrated"]
    assert cooled["ece_calibrated"] == pytest.approx(expected_calibration_error(logits / 3, labels))
    for name in plain.keys() - {"ece_calibrated"}:
        assert cooled[name] == plain[name]


def test_twins_leave_the_deduplicated_accuracy():
    labels = np.array([0, 0, 1, 1])
    logits = one_hot_logits([0, 0, 1, 0], 2)
    twins = np.array([True, False, False, False])
    near = np.array([True, True, False, False])
    numbers = classification_metrics(logits, labels, twins=twins, near_twins=near)
    right = logits.argmax(axis=1) == labels
    assert numbers["accuracy_without_near_twins"] == right[2:].mean()
    assert numbers["near_twins"] == 2
    assert numbers["accuracy"] == pytest.approx(3 / 4)
    assert numbers["accuracy_deduplicated"] == pytest.approx(2 / 3)
    assert classification_metrics(logits, labels, twins=np.full(4, True))["accuracy_deduplicated"] is None


@pytest.mark.parametrize(("right", "images"), [(50, 100), (5, 8), (3000, 4000)])
def test_the_interval_is_about_that_of_the_normal_approximation(right, images):
    correct = np.arange(images) < right
    low, high = accuracy_interval(correct)
    share = right / images
    width = 2 * 1.96 * np.sqrt(share * (1 - share) / images)
    assert low < share < high
    assert high - low == pytest.approx(width, rel=0.15)


def test_the_interval_is_the_same_each_time():
    correct, subjects = np.arange(40) % 3 > 0, np.array([f"S{n // 4}" for n in range(40)])
    assert accuracy_interval(correct) == accuracy_interval(correct)
    assert accuracy_interval(correct, subjects) == accuracy_interval(correct, subjects)


def test_whole_subjects_make_the_interval_wider():
    """Ten people, all of whose images are right or all wrong: a tenth of the information."""
    subjects = np.repeat([f"S{n}" for n in range(10)], 20)
    correct = np.repeat(np.arange(10) < 6, 20)
    images, people = accuracy_interval(correct), accuracy_interval(correct, subjects)
    assert people[0] < 0.6 < people[1]
    assert (people[1] - people[0]) > 3 * (images[1] - images[0])


def test_a_subject_for_each_image_is_the_same_as_none():
    correct = np.arange(200) % 4 > 0
    each = accuracy_interval(correct, np.array([f"S{n}" for n in range(200)]))
    assert each == pytest.approx(accuracy_interval(correct), abs=0.011)


def test_subjects_count_by_their_images():
    """One person with 90 images and two with 5: the accuracy is over images."""
    subjects = np.array(["a"] * 90 + ["b"] * 5 + ["c"] * 5)
    low, high = accuracy_interval(subjects == "a", subjects)
    assert (low, high) == (0.0, 1.0)


def test_calibrated_probabilities_have_no_calibration_error():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.full(4, 0.7), 100_000)
    labels = (probabilities.cumsum(axis=1) > generator.random((100_000, 1))).argmax(axis=1)
    assert expected_calibration_error(np.log(probabilities), labels) < 0.01
    assert expected_calibration_error(3 * np.log(probabilities), labels) > 0.1
