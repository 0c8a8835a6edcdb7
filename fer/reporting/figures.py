"""Figures: pure functions from arrays to matplotlib figures, one style, readable in print and to the colour-blind."""

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torchmetrics.functional.classification import binary_average_precision, binary_precision_recall_curve

from fer.files import replacing

BLUE, ORANGE, SKY, GREY = "#0072b2", "#d55e00", "#56b4e9", "#767676"  # Okabe & Ito's, which differ in lightness too
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "fer",  # the same figure gives the same file
}
POINTS = 200  # of each curve


def style() -> AbstractContextManager[Any]:
    """In this context figures look as they do everywhere."""
    return matplotlib.rc_context(STYLE)


def counted(images: int, of: str = "") -> str:
    """`1 image`, `3,589 images`, `3,589 test images`."""
    return f"{images:,} {of}{' ' if of else ''}image{'' if images == 1 else 's'}"


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as `<name>.png` and `<name>.svg`, in which text is text and faces keep their own pixels."""
    with style():
        with replacing(folder / f"{name}.png", "wb") as file:
            figure.savefig(file, format="png")
        layout = figure.get_layout_engine()
        figure.set_layout_engine("none")  # the PNG's holds for the SVG too, and takes as long as drawing
        images = [image for axes in figure.axes for image in axes.images]
        faces = [image for image in images if image.get_interpolation() == "bilinear"]
        for image in faces:
            image.set_interpolation("none")  # else each is resampled to what a screen of some resolution shows
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
        figure.set_layout_engine(layout)
        for image in faces:
            image.set_interpolation("bilinear")
    with replacing(folder / f"{name}.svg") as file:
        file.write(re.sub(r"image-rendering:[a-z-]+;?", "", drawn.getvalue()))  # viewers smooth, unless told not to


def confusion_figure(matrix: np.ndarray, classes: Sequence[str], title: str = "") -> Figure:
    """Rows are the truth: each cell with its count and its share of the row.

    Args:
        matrix: counts, int [K, K], truth by prediction.
        classes: names of the K classes.
        title: what was evaluated.
    """
    support = matrix.sum(axis=1, keepdims=True)
    share = matrix / np.maximum(support, 1)
    size = 1.6 + 0.75 * max(len(classes), 3)
    with style():
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
                color="white" if value > 0.65 else "#222222",
            )
        axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(classes)), [f"{c} ({int(n)})" for c, n in zip(classes, support[:, 0], strict=True)])
        axes.set(xlabel="predicted", ylabel="truth (images)")
        axes.spines[:].set_visible(False)
        accuracy = np.trace(matrix) / max(matrix.sum(), 1)
        said = f"{counted(int(matrix.sum()))}, accuracy {accuracy:.1%}"
        figure.suptitle(f"{title}, {said}" if title else said, fontsize=11)
    return figure


def confused_pairs(matrix: np.ndarray, most: int = 10) -> list[tuple[int, int, int]]:
    """The most frequent mistakes as (truth, prediction, images), the most frequent first.

    Args:
        matrix: counts, int [K, K], truth by prediction.
        most: how many at most.
    """
    mistakes = matrix.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:most]
    pairs = [(int(truth), int(predicted)) for truth, predicted in zip(*np.divmod(order, len(matrix)), strict=True)]
    return [(*pair, int(mistakes[pair])) for pair in pairs if mistakes[pair]]


def confused_pairs_figure(matrix: np.ndarray, classes: Sequence[str], most: int = 10) -> Figure:
    """The most frequent mistakes as bars, each with its count and its share of the true class.

    Args:
        matrix: counts, int [K, K], truth by prediction.
        classes: names of the K classes.
        most: how many at most.
    """
    pairs = confused_pairs(matrix, most)
    with style():
        figure = Figure(figsize=(6.4, 1.2 + 0.34 * max(len(pairs), 1)), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title("Most frequent mistakes", loc="left")
        if not pairs:
            axes.set_axis_off()
            axes.text(0, 0.5, "none: every prediction is right", va="center")
            return figure
        counts = [count for _, _, count in pairs]
        axes.barh(range(len(pairs)), counts, color=ORANGE, height=0.7)
        for row, (truth, _, count) in enumerate(pairs):
            said = f"{count} ({count / matrix[truth].sum():.0%} of {classes[truth]})"
            axes.text(count + 0.02 * max(counts), row, said, va="center")
        names = [f"{classes[truth]}, called {classes[predicted]}" for truth, predicted, _ in pairs]
        axes.set_yticks(range(len(pairs)), names)
        axes.set(xlabel="images", xlim=(0, 1.45 * max(counts)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.invert_yaxis()
    return figure


def class_figure(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Precision, recall and F1 of each class as bars, its images below its name; no bar where there is no number.

    Args:
        matrix: counts, int [K, K], truth by prediction.
        classes: names of the K classes.
    """
    hits, support, called = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    parts = {
        "precision": (SKY, hits, called),
        "recall": (BLUE, hits, support),
        "F1": (ORANGE, 2 * hits, support + called),
    }
    with style():
        figure = Figure(figsize=(1.6 + 0.95 * max(len(classes), 3), 3.9), layout="constrained")
        axes = figure.add_subplot()
        for offset, (name, (colour, part, whole)) in zip((-0.27, 0, 0.27), parts.items(), strict=True):
            places = np.arange(len(classes)) + offset
            known = whole > 0
            axes.bar(places[known], part[known] / whole[known], 0.25, color=colour, label=name)
            axes.scatter(places[~known], np.full((~known).sum(), 0.02), marker="x", color=colour, s=22)
        axes.set_xticks(range(len(classes)), [f"{c}\n{int(n)}" for c, n in zip(classes, support, strict=True)])
        axes.set(xlabel="class, and its images", ylim=(0, 1))
        axes.tick_params(axis="x", length=0)
        axes.set_axisbelow(True)
        axes.grid(axis="y", color="#e3e3e3")
        axes.set_title("Each class" if (support > 0).all() else "Each class (×: no such number)", loc="left")
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    return figure


def precision_recall_figure(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Figure:
    """A panel for each class: its curve, those of the others in grey, and the share of its images (what chance gives).

    Args:
        probabilities: float [N, K].
        labels: int [N].
        classes: names of the K classes.
    """
    scores = torch.from_numpy(probabilities)
    curves: list[tuple[np.ndarray, np.ndarray, float] | None] = []
    for index in range(len(classes)):
        mine = torch.from_numpy((labels == index).astype(np.int64))
        if mine.any():
            precision, recall, _ = binary_precision_recall_curve(scores[:, index], mine)
            kept = np.unique(np.linspace(0, len(recall) - 1, POINTS).astype(int))
            average = float(binary_average_precision(scores[:, index], mine))
            curves.append((recall.numpy()[kept], precision.numpy()[kept], average))
        else:
            curves.append(None)
    columns = min(4, len(classes))
    rows = -(-len(classes) // columns)
    with style():
        figure = Figure(figsize=(2.2 * columns, 2.25 * rows + 0.4), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for index, (axes, name) in enumerate(zip(panels.flat, classes, strict=False)):
            curve = curves[index]
            for other in curves:
                if other is not None and other is not curve:
                    axes.plot(other[0], other[1], color="#d5d5d5", linewidth=0.8)
            axes.axhline(float((labels == index).mean()), color=GREY, linestyle=":", linewidth=1)
            if curve is not None:
                axes.plot(curve[0], curve[1], color=BLUE, linewidth=1.8)
            said = "no image" if curve is None else f"AP {curve[2]:.2f}"
            axes.set_title(f"{name}, {said}", fontsize=10)
            axes.set(xlim=(0, 1), ylim=(0, 1.03), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        for axes in panels.flat[len(classes) :]:
            axes.set_axis_off()
        figure.supxlabel("recall", fontsize=10)
        figure.supylabel("precision", fontsize=10)
    return figure


def reliability_figure(
    curves: dict[str, tuple[np.ndarray, np.ndarray]],
    eces: dict[str, float],
    bins: int = 15,
    title: str = "Reliability on the test images",
) -> Figure:
    """Accuracy against confidence, and how many images have that confidence.

    Args:
        curves: label -> (confidence of the prediction, float [N]; whether it was right, bool [N]).
        eces: label -> expected calibration error, for the legend.
        bins: equal-width bins.
        title: what was evaluated.
    """
    with style():
        figure = Figure(figsize=(5.2, 5.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfect")
        looks = ((ORANGE, "o", "--"), (BLUE, "s", "-"))
        for (label, (confidence, right)), (colour, marker, line) in zip(curves.items(), looks, strict=False):
            centres, accuracy, sizes = _reliability_points(confidence, right, bins)
            upper.plot(centres, accuracy, line, color=colour, linewidth=1.5, label=f"{label}: ECE {eces[label]:.3f}")
            upper.scatter(centres, accuracy, 12 + 100 * sizes, color=colour, marker=marker, alpha=0.85, clip_on=False)
            lower.hist(
                confidence, bins=bins, range=(0, 1), histtype="step", color=colour, linestyle=line, linewidth=1.5
            )
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), title=title)
        upper.legend(frameon=False, loc="upper left")
        lower.set(xlabel="confidence", ylabel="images")
    return figure


def _reliability_points(confidence: np.ndarray, right: np.ndarray, bins: int) -> tuple[np.ndarray, ...]:
    """Mean confidence, accuracy and relative size of each bin that has images."""
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    filled = counts > 0
    centres = np.bincount(bin_of, confidence, bins)[filled] / counts[filled]
    accuracy = np.bincount(bin_of, right, bins)[filled] / counts[filled]
    return centres, accuracy, counts[filled] / counts.max()
