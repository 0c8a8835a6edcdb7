"""Numbers against hand computations and against torchmetrics; intervals that mean what they say."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from fer.evaluation.metric_table import compute_metrics
from fer.evaluation.metrics import (
    areas_under_roc,
    expected_calibration_error,
)
from fer.evaluation.split_predictions import SplitPredictions


def classification_metrics(
    logits: np.ndarray, labels: np.ndarray, classes: list[str] | None = None, **facts: Any
) -> dict[str, Any]:
    """Every metric of the table, of predictions about which little is known."""
    classes = classes or [f"class{k}" for k in range(logits.shape[1])]
    facts = {"subjects": None, "images": None} | facts
    names = np.arange(len(labels)).astype(str)
    return compute_metrics(SplitPredictions(classes, logits, labels, names, **facts))


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
    assert numbers["brier"] == pytest.approx(
        (
            2 * ((1 - sure) ** 2 + 2 * ((1 - sure) / 2) ** 2)
            + 2 * (sure**2 + (1 - (1 - sure) / 2) ** 2 + ((1 - sure) / 2) ** 2)
        )
        / 4
    )
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
    for name in ("accuracy", "macro_f1", "balanced_accuracy"):
        assert numbers[name] == 1.0
    assert numbers["macro_auroc"] == pytest.approx(1)
    assert numbers["accuracy_ci95"][1] == 1.0
    for name in ("nll", "brier", "ece"):
        assert numbers[name] == pytest.approx(0, abs=1e-6)


def test_predictions_that_are_all_wrong():
    labels = np.arange(70) % 7
    numbers = classification_metrics(one_hot_logits(list((labels + 1) % 7), 7, 30.0), labels)
    for name in ("accuracy", "macro_f1", "balanced_accuracy"):
        assert numbers[name] == 0.0
    assert numbers["accuracy_ci95"][0] == 0.0
    assert numbers["ece"] == pytest.approx(1, abs=1e-6)
    assert numbers["brier"] == pytest.approx(2, abs=1e-6)


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
    names = ["angry", "happy", "sad"]
    numbers = classification_metrics(one_hot_logits([1], 3), np.array([1]), classes=names, subjects=np.array(["S1"]))
    assert numbers["accuracy"] == numbers["macro_f1"] == numbers["recall_happy"] == 1.0
    assert numbers["macro_auroc"] is None
    assert numbers["accuracy_ci95"] is None  # of one person


def test_the_temperature_touches_the_calibrated_numbers_alone(drawn):
    logits, labels = drawn
    plain, cooled = (classification_metrics(logits, labels, temperature=t) for t in (1.0, 3.0))
    calibrated = {f"{name}_calibrated" for name in ("nll", "brier", "ece")}
    for name in calibrated:
        assert plain[name] == plain[name.removesuffix("_calibrated")]
        expected = classification_metrics(logits / 3, labels)[name.removesuffix("_calibrated")]
        assert cooled[name] == pytest.approx(expected, rel=1e-6)
    for name in plain.keys() - calibrated - {"ece_calibrated_ci95"}:
        assert cooled[name] == plain[name]


def test_each_image_can_have_its_own_temperature(drawn):
    logits, labels = drawn
    temperatures = np.where(np.arange(len(labels)) < 100, 0.5, 4.0)
    own = classification_metrics(logits, labels, temperature=temperatures)
    expected = classification_metrics(logits / temperatures[:, None], labels)
    assert own["nll_calibrated"] == pytest.approx(expected["nll"])
    assert own["ece_calibrated"] == pytest.approx(expected["ece"])


def test_numbers_of_each_class_agree_with_torchmetrics(drawn):
    logits, labels = drawn
    names = ["angry", "disgust", "fear", "happy", "sad"]
    numbers = classification_metrics(logits, labels, classes=names)
    scores, targets = torch.from_numpy(logits), torch.from_numpy(labels)
    for name, function in (
        ("precision", multiclass_precision),
        ("recall", multiclass_recall),
        ("f1", multiclass_f1_score),
        ("auroc", multiclass_auroc),
    ):
        of_classes = [numbers[f"{name}_{emotion}"] for emotion in names]
        assert of_classes == pytest.approx(function(scores, targets, 5, average=None).tolist())
    assert [numbers[f"support_{emotion}"] for emotion in names] == np.bincount(labels).tolist()
    assert numbers["macro_auroc"] == pytest.approx(float(multiclass_auroc(scores, targets, 5)))


def test_the_area_under_roc_is_the_chance_to_rank_a_pair_right(drawn):
    logits, labels = drawn
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    of_class, others = probabilities[labels == 2, 2], probabilities[labels != 2, 2]
    wins = (of_class[:, None] > others).mean() + 0.5 * (of_class[:, None] == others).mean()
    assert areas_under_roc(logits, labels)[2] == pytest.approx(wins, abs=1e-6)


def test_what_does_not_exist_is_none_and_never_nan():
    """Nobody is sad, nobody is called happy."""
    logits = one_hot_logits([0, 0, 2], 3)
    numbers = classification_metrics(logits, np.array([0, 1, 0]), classes=["angry", "happy", "sad"])
    assert [numbers[f"{name}_sad"] for name in ("precision", "recall", "f1", "support", "auroc")] == [
        0,
        None,
        0,
        0,
        None,
    ]
    assert numbers["precision_happy"] is None
    assert (numbers["recall_happy"], numbers["f1_happy"], numbers["support_happy"]) == (0, 0, 1)
    assert "NaN" not in json.dumps(numbers)
    unknown = ("twins", "near_twins", "accuracy_deduplicated", "accuracy_without_near_twins", "subjects")
    assert all(numbers[name] is None for name in unknown)


def test_twins_leave_the_deduplicated_accuracy():
    labels = np.array([0, 0, 1, 1])
    logits = one_hot_logits([0, 0, 1, 0], 2)
    twins = np.array([True, False, False, False])
    near = np.array([True, True, False, False])
    numbers = classification_metrics(logits, labels, exact_duplicates=twins, near_duplicates=near)
    right = logits.argmax(axis=1) == labels
    assert numbers["accuracy_without_near_twins"] == right[2:].mean()
    assert (numbers["twins"], numbers["near_twins"]) == (1, 2)
    assert numbers["accuracy"] == pytest.approx(3 / 4)
    assert numbers["accuracy_deduplicated"] == pytest.approx(2 / 3)
    assert classification_metrics(logits, labels, exact_duplicates=np.full(4, True))["accuracy_deduplicated"] is None


def test_calibrated_probabilities_have_no_calibration_error():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.full(4, 0.7), 100_000)
    labels = (probabilities.cumsum(axis=1) > generator.random((100_000, 1))).argmax(axis=1)
    assert expected_calibration_error(np.log(probabilities), labels) < 0.01
    assert expected_calibration_error(3 * np.log(probabilities), labels) > 0.1
