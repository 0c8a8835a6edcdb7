"""Figures show the numbers they are given, with few rows and many, short names and long."""

import io

import numpy as np
import pytest

from fer.comparison.figures import (
    MAX_NAMED_POINTS,
    MAX_ROWS,
    Row,
    confusion_difference_figure,
    cost_figure,
    differences_figure,
    pareto_front,
    recall_figure,
    seeds_figure,
    transfer_figure,
)
from fer.comparison.statistics import Estimate

CLASSES = ["angry", "happy", "sad"]
LONG = "vit_large_patch14_reg4_dinov2 (weights=imagenet, freeze=gradual, lr=0.0001)"


def row(index: int, name: str = "", cost: float | None = None) -> Row:
    value = 0.5 + index / 200
    return Row(
        name or f"model {index}", Estimate(value, value - 0.02, value + 0.02), [value - 0.01, value + 0.01], cost
    )


def drawn(figure) -> bool:
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    return True


def test_the_front_is_what_nothing_beats():
    costs, accuracies = np.array([1.0, 2, 3, 3, 1, 4]), np.array([0.5, 0.7, 0.6, 0.8, 0.5, 0.8])
    assert pareto_front(costs, accuracies).tolist() == [True, True, False, True, True, False]


@pytest.mark.parametrize("count", [1, 3, MAX_NAMED_POINTS + 6])
def test_cost_against_accuracy(count):
    rows = [row(index % 5, f"{index} {LONG}", cost=10.0 ** (index % 4)) for index in range(count)]
    figure = cost_figure(rows, "GMACs", "demo")
    axes = figure.axes[0]
    front = pareto_front(np.array([r.cost for r in rows]), np.array([r.estimate.value for r in rows]))
    assert len(axes.texts) == (count if count <= MAX_NAMED_POINTS else front.sum())
    assert (axes.get_xscale() == "log") == (count > 1)
    assert drawn(figure)


@pytest.mark.parametrize("count", [1, 3, MAX_ROWS + 1])
def test_seeds_with_the_best_on_top(count):
    figure = seeds_figure([row(index) for index in range(count)], "demo")
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"model {index}" for index in reversed(range(count))][:MAX_ROWS]
    assert ("the best 40 of 41" in axes.get_title()) == (count > MAX_ROWS)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert drawn(figure)


@pytest.mark.parametrize("same", [True, False])
def test_differences_name_both_or_the_best_once(same):
    pairs = [("A" if same else f"A{n}", f"B{n}", Estimate(0.01, -0.01 + n / 50, 0.03), n > 0) for n in range(3)]
    figure = differences_figure(pairs, "demo")
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ([f"B{n}" for n in range(3)] if same else [f"A{n}\nminus B{n}" for n in range(3)])
    assert ("A minus" in figure.get_suptitle()) == same


@pytest.mark.parametrize("count", [1, 7, MAX_ROWS + 1])
def test_recall_by_model(count):
    recalls = {f"{LONG} {index}": np.array([0.1, np.nan, 0.9]) for index in range(count)}
    figure = recall_figure(recalls, CLASSES, "demo")
    assert [text.get_text() for text in figure.axes[0].texts] == ["10", "–", "90"] * min(count, MAX_ROWS)
    assert drawn(figure)


def test_confusion_of_one_less_that_of_the_other():
    first = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [np.nan] * 3])
    second = np.array([[0.7, 0.3, 0], [0.25, 0.75, 0], [np.nan] * 3])
    axes = confusion_difference_figure(first, second, CLASSES, ("A", "B"), "demo").axes[0]
    cells = [text.get_text() for text in axes.texts]
    assert cells == ["+20.0", "-20.0", "·", "-5.0", "+5.0", "·", "–", "–", "–"]
    assert "A minus B" in axes.get_title()


def test_transfer_shows_what_was_not_evaluated():
    figure = transfer_figure(np.array([[0.9, np.nan]]), [LONG], ["demo", "demo2"], "Across data sets")
    assert [text.get_text() for text in figure.axes[0].texts] == ["90.0", "–"]
    assert drawn(figure)
