"""Sheets of faces with what was said of each; as `figures`, pure functions from arrays to matplotlib figures."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer.reporting.figures import BLUE, ORANGE, style


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
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    with style():
        figure = Figure(figsize=(max(1.75 * columns, 3.4), 2.25 * rows + 0.4), layout="constrained")
        for index, image in enumerate(images):
            axes = figure.add_subplot(rows, columns, index + 1)
            right = truths[index] == predictions[index]
            colour = BLUE if right else ORANGE
            _show(axes, image, colour)
            caption = f"{predictions[index]} {probabilities[index]:.0%}\n"
            caption += "correct" if right else f"is {truths[index]}"
            if losses is not None:
                caption += f", loss {losses[index]:.2f}"
            axes.set_xlabel(caption, color=colour, fontsize=9)
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
    with style():
        figure = Figure(figsize=(3.4 * columns, 2.1 * rows + 0.4), layout="constrained")
        blocks = figure.subfigures(rows, columns, squeeze=False).ravel()
        for index in range(pairs):
            pair = (2 * index, 2 * index + 1)
            colour = BLUE if emotions[pair[0]] == emotions[pair[1]] else ORANGE
            for axes, of in zip(blocks[index].subplots(1, 2), pair, strict=True):
                _show(axes, images[of], colour, linewidth=2)
                axes.set_xlabel(f"{splits[of]}: {emotions[of]}", color=colour, fontsize=9)
        figure.suptitle("Twins across splits, and twins whose labels differ", fontsize=11)
    return figure


def attention_figure(
    images: np.ndarray,
    truths: Sequence[str],
    predictions: Sequence[str],
    for_predictions: np.ndarray,
    for_truths: np.ndarray,
    title: str = "",
) -> Figure:
    """Faces with maps of what speaks for a class: right ones above, wrong ones below with a map for either class.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3].
        truths: names of the true classes.
        predictions: names of the predicted classes.
        for_predictions: what speaks for the predicted class, float [N, h, w] in [0, 1].
        for_truths: the same for the true class; shown where the two differ.
        title: what the sheet shows.
    """
    right = np.array([truth == prediction for truth, prediction in zip(truths, predictions, strict=True)], dtype=bool)
    groups = [np.flatnonzero(chosen) for chosen in (right, ~right) if chosen.any()]
    heights = [2 if right[group[0]] else 3 for group in groups]
    columns = max((len(group) for group in groups), default=1)
    with style():
        figure = Figure(figsize=(max(1.45 * columns, 3.4), 1.75 * sum(heights) + 0.4), layout="constrained")
        grid = figure.add_gridspec(max(1, sum(heights)), columns)
        top = 0
        for group, height in zip(groups, heights, strict=True):
            for column, index in enumerate(group.tolist()):
                colour = BLUE if right[index] else ORANGE
                said = "correct" if right[index] else f"is {truths[index]}"
                face = figure.add_subplot(grid[top, column])
                _show(face, images[index], colour)
                face.set_xlabel(f"{predictions[index]}\n{said}", color=colour, fontsize=9)
                shown = [(predictions[index], for_predictions[index]), (truths[index], for_truths[index])]
                for below, (name, heat) in enumerate(shown[: height - 1], start=1):
                    axes = figure.add_subplot(grid[top + below, column])
                    _show(axes, images[index], "#bdbdbd", linewidth=1)
                    glow = matplotlib.colormaps["inferno"](heat)
                    glow[..., 3] = 0.75 * heat  # what is dark hides nothing of the face
                    axes.imshow(glow, extent=axes.images[0].get_extent(), interpolation="bilinear")
                    axes.set_xlabel(f"for {name}" if heat.any() else f"nothing for {name}", fontsize=9)
            top += height
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def _show(axes: Axes, image: np.ndarray, colour: str, **frame: Any) -> None:
    """A face at its own brightness, in a frame."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=colour, **{"linewidth": 2.5, **frame})
