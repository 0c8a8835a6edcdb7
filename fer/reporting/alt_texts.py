"""What a figure shows, in words with its numbers: for people who do not see it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fer.runs.tables import Predictions

MOST = 5  # things named of a list
History = Mapping[int, Mapping[str, float]]
Metrics = Mapping[str, Any]


def alt_text(
    name: str, title: str, metrics: Metrics, split: str, predictions: Predictions | None, history: History
) -> str:
    """The alternative text of a figure: its title, and its numbers where there are any.

    Args:
        name: of the figure.
        title: of the figure.
        metrics: by the names of `metrics.json`.
        split: that the figure shows.
        predictions: of the split; None where they are not at hand.
        history: of the training; empty where there is none.
    """
    by_class = _BY_CLASS.get(name)
    if by_class is not None:
        numbers = _of_classes(metrics, split, *by_class)
    elif name in _OF_PREDICTIONS:
        numbers = "" if predictions is None else _OF_PREDICTIONS[name](predictions)
    elif name == "training_curves":
        numbers = _training(history, metrics)
    elif name == "reliability":
        numbers = _reliability(metrics, split)
    else:
        numbers = ""
    return f"{title}: {numbers}." if numbers else title


def _of_classes(metrics: Metrics, split: str, *keys: str) -> str:
    prefix = f"{split}/{keys[0]}_"
    parts = []
    for key in metrics:
        if key.startswith(prefix) and isinstance(metrics[key], int | float):
            name = key.removeprefix(prefix)
            values = [(other, metrics.get(f"{split}/{other}_{name}")) for other in keys]
            said = ", ".join(f"{other} {value:.2f}" for other, value in values if isinstance(value, int | float))
            parts.append(f"{name} {said}")
    return "; ".join(parts)


def _confusion(predictions: Predictions) -> str:
    parts = []
    for name in predictions.classes:
        of_class = predictions.labels == name
        if of_class.any():
            parts.append(f"{name} {int((of_class & (predictions.predicted == name)).sum())} of {int(of_class.sum())}")
    return f"right are {'; '.join(parts)}" if parts else ""


def _pairs(predictions: Predictions) -> str:
    wrong = predictions.labels != predictions.predicted
    pairs = np.char.add(np.char.add(predictions.labels[wrong], " taken for "), predictions.predicted[wrong])
    names, counts = np.unique(pairs, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST]
    return "; ".join(f"{names[index]} {counts[index]} times" for index in order)


def _largest_losses(predictions: Predictions) -> str:
    order = np.argsort(-predictions.losses, kind="stable")[:MOST]
    named = (
        f"{predictions.labels[row]} taken for {predictions.predicted[row]}, loss {predictions.losses[row]:.2f}"
        if predictions.labels[row] != predictions.predicted[row]
        else f"{predictions.labels[row]}, right, loss {predictions.losses[row]:.2f}"
        for row in order
    )
    return "; ".join(named)


def _training(history: History, metrics: Metrics) -> str:
    parts = []
    for split, word in (("val", "validation"), ("train", "training")):
        curve = {
            epoch: numbers[f"{split}/accuracy"] for epoch, numbers in history.items() if f"{split}/accuracy" in numbers
        }
        if curve:
            first, last = min(curve), max(curve)
            parts.append(
                f"{word} accuracy {curve[first]:.1%} after epoch {first}, {curve[last]:.1%} after epoch {last}"
            )
    if parts and metrics.get("best_epoch") is not None:
        parts.append(f"tested is epoch {metrics['best_epoch']}")
    return "; ".join(parts)


def _reliability(metrics: Metrics, split: str) -> str:
    errors = [
        (metrics.get(f"{split}/{key}"), word) for key, word in (("ece", "as trained"), ("ece_calibrated", "calibrated"))
    ]
    said = ", ".join(f"{value:.3f} {word}" for value, word in errors if isinstance(value, int | float))
    return f"calibration error {said}" if said else ""


_BY_CLASS = {"classes": ("precision", "recall", "f1", "support"), "precision_recall": ("auroc",)}
_OF_PREDICTIONS: dict[str, Callable[[Predictions], str]] = {
    "confusion_matrix": _confusion,
    "confused_pairs": _pairs,
    "top_losses": _largest_losses,
}
