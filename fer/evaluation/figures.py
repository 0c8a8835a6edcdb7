"""Figures: pure functions from arrays to matplotlib figures, one style, readable in print and to the colour-blind."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#767676"  # Okabe & Ito's blue and vermilion
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 150,
    "svg.fonttype": "none",
}


def confusion_figure(matrix: np.ndarray, classes: Sequence[str], title: str = "") -> Figure:
    """Rows are the truth: each cell with its count and its share of the row.

    Args:
        matrix: counts, int [K, K], truth by prediction.
        classes: names of the K classes.
        title: what was evaluated.
    """
    support = matrix.sum(axis=1, keepdims=True)
    share = matrix / np.maximum(support, 1)
    size = 1.6 + 0.75 * len(classes)
    with _style():
        figure = Figure(figsize=(size, size * 0.92), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (truth, predicted), value in np.ndenumerate(share):
            axes.text(
                predicted,
                truth,
                f"{value:.0%}\n{int(matrix[truth, predicted])}" if matrix[truth, predicted] else "·",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if value > 0.55 else "#222222",
            )
        axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
        axes.set_yticks(range(len(classes)), [f"{c} ({int(n)})" for c, n in zip(classes, support[:, 0], strict=True)])
        axes.set(xlabel="predicted", ylabel="truth (images)")
        axes.spines[:].set_visible(False)
        accuracy = np.trace(matrix) / max(matrix.sum(), 1)
        axes.set_title(f"{title}{', ' if title else ''}{int(matrix.sum())} images, accuracy {accuracy:.1%}")
    return figure


def predictions_figure(
    images: np.ndarray,
    truths: Sequence[str],
    predictions: Sequence[str],
    probabilities: Sequence[float],
    losses: Sequence[float] | None = None,
    columns: int = 3,
    title: str = "",
) -> Figure:
    """A sheet of faces with prediction, probability, truth and (where given) loss under each.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3].
        truths: names of the true classes.
        predictions: names of the predicted classes.
        probabilities: of the predicted classes.
        losses: cross-entropy of each image, nats.
        columns: faces in a row.
        title: what the sheet shows.
    """
    rows = -(-len(images) // columns)
    with _style():
        figure = Figure(figsize=(1.75 * columns, 2.25 * rows + 0.4), layout="constrained")
        for index, image in enumerate(images):
            axes = figure.add_subplot(rows, columns, index + 1)
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
            axes.set(xticks=[], yticks=[])
            right = truths[index] == predictions[index]
            axes.spines[:].set(visible=True, color=BLUE if right else ORANGE, linewidth=2.5)
            caption = f"{predictions[index]} {probabilities[index]:.0%}\n"
            caption += "correct" if right else f"is {truths[index]}"
            if losses is not None:
                caption += f", loss {losses[index]:.2f}"
            axes.set_xlabel(caption, color=BLUE if right else ORANGE, fontsize=9)
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def twins_figure(images: np.ndarray, splits: Sequence[str], emotions: Sequence[str], columns: int = 3) -> Figure:
    """Pairs of images side by side, each with its split and emotion: orange where the emotions differ.

    Args:
        images: uint8 [2 P, H, W] or [2 P, H, W, 3]; two in a row are a pair.
        splits: of each image.
        emotions: of each image.
        columns: pairs in a row.
    """
    pairs = len(images) // 2
    rows = -(-pairs // columns)
    with _style():
        figure = Figure(figsize=(3.4 * columns, 2.1 * rows + 0.4), layout="constrained")
        blocks = figure.subfigures(rows, columns, squeeze=False).ravel()
        for index in range(pairs):
            pair = (2 * index, 2 * index + 1)
            colour = BLUE if emotions[pair[0]] == emotions[pair[1]] else ORANGE
            for axes, of in zip(blocks[index].subplots(1, 2), pair, strict=True):
                axes.imshow(images[of], cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set(visible=True, color=colour, linewidth=2)
                axes.set_xlabel(f"{splits[of]}: {emotions[of]}", color=colour, fontsize=9)
        figure.suptitle("Twins across splits, and twins whose labels differ", fontsize=11)
    return figure


def reliability_figure(
    curves: dict[str, tuple[np.ndarray, np.ndarray]], eces: dict[str, float], bins: int = 15
) -> Figure:
    """Accuracy against confidence, and how many images have that confidence.

    Args:
        curves: label -> (confidence of the prediction, float [N]; whether it was right, bool [N]).
        eces: label -> expected calibration error, for the legend.
        bins: equal-width bins.
    """
    with _style():
        figure = Figure(figsize=(5.2, 5.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfect")
        colours = (ORANGE, BLUE)
        for (label, (confidence, right)), colour in zip(curves.items(), colours, strict=False):
            _reliability_curve(upper, confidence, right, bins, colour, f"{label}: ECE {eces[label]:.3f}")
            lower.hist(confidence, bins=bins, range=(0, 1), histtype="step", color=colour, linewidth=1.5)
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), title="Reliability on the test images")
        upper.legend(frameon=False, loc="upper left")
        lower.set(xlabel="confidence", ylabel="images")
    return figure


def _reliability_curve(
    axes: Axes, confidence: np.ndarray, right: np.ndarray, bins: int, colour: str, label: str
) -> None:
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    filled = counts > 0
    centres = np.bincount(bin_of, confidence, bins)[filled] / counts[filled]
    accuracy = np.bincount(bin_of, right, bins)[filled] / counts[filled]
    axes.plot(centres, accuracy, color=colour, linewidth=1.5, label=label)
    axes.scatter(centres, accuracy, s=12 + 120 * counts[filled] / counts.max(), color=colour)


def _style() -> AbstractContextManager[Any]:
    return matplotlib.rc_context(STYLE)
