"""The images of each cell of a confusion matrix as sheets on disk, and its tables for a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fer.evaluation.split_predictions import SplitPredictions
from fer.files import replacing, typeable
from fer.reporting.render import Link
from fer.runs.folder import RunFolder
from fer.runs.tables import Predictions

PREDICTIONS = RunFolder("").predictions_file.name
FOLDER = "cells"  # within figures/
MOST = 24  # images of a cell, those with the largest losses
COLUMNS, SIDE, GAP = 6, 112, 4  # of a sheet; pixels
MOST_ERRORS = 200  # rows of the table of errors


def write_cells(predictions: SplitPredictions, figures: Path) -> None:
    """A sheet of images for each cell that has any, `figures/cells/TRUTH-as-PREDICTED.png`; none without images.

    They stay on the disk of whoever has the data: a report links to them and does not hold them.
    """
    folder = figures / FOLDER
    for old in folder.glob("*-as-*.png"):
        old.unlink()
    if predictions.images is None:
        return
    for truth, name in enumerate(predictions.classes):
        for predicted, other in enumerate(predictions.classes):
            rows = np.flatnonzero((predictions.labels == truth) & (predictions.predicted == predicted))
            if len(rows):
                chosen = rows[np.argsort(-predictions.losses[rows], kind="stable")[:MOST]]
                with replacing(folder / sheet_name(name, other), "wb") as file:
                    sheet(predictions.images(chosen)).save(file, format="PNG")


def sheet_name(truth: str, predicted: str) -> str:
    return f"{typeable(truth)}-as-{typeable(predicted)}.png"


def sheet(images: np.ndarray) -> Image.Image:
    """Images, uint8 [N, H, W] or [N, H, W, 3], in rows of `COLUMNS`, enlarged to one size."""
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    whole = Image.new("L" if images.ndim == 3 else "RGB", (columns * (SIDE + GAP), rows * (SIDE + GAP)), "white")
    for index, image in enumerate(images):
        face = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        whole.paste(face, (index % columns * (SIDE + GAP), index // columns * (SIDE + GAP)))
    return whole


def confusion_table(predictions: Predictions, figures: Path) -> dict[str, Any]:
    """Counts, truth by prediction; a cell leads to its images where they are on disk."""
    rows: list[Sequence[str | Link]] = []
    for name in predictions.classes:
        of_class = predictions.labels == name
        cells: list[str | Link] = []
        for other in predictions.classes:
            count = f"{int((of_class & (predictions.predicted == other)).sum()):,}"
            file = figures / FOLDER / sheet_name(name, other)
            cells.append(Link(count, f"{figures.name}/{FOLDER}/{file.name}") if file.exists() else count)
        rows.append([name, *cells, f"{int(of_class.sum()):,}"])
    return {"headings": ["true class", *predictions.classes, "images"], "rows": rows}


def errors_table(predictions: Predictions) -> dict[str, Any] | None:
    """The images that the model got wrong, those with the largest losses first; None where there is none."""
    wrong = np.flatnonzero(predictions.labels != predictions.predicted)
    if not len(wrong):
        return None
    order = wrong[np.argsort(-predictions.losses[wrong], kind="stable")[:MOST_ERRORS]]
    rows = [
        [
            str(predictions.names[row]),
            str(predictions.labels[row]),
            str(predictions.predicted[row]),
            f"{predictions.probabilities[row].max():.1%}",
            f"{predictions.losses[row]:.3f}",
        ]
        for row in order.tolist()
    ]
    shown = f"the {len(rows)} with the largest losses of " if len(rows) < len(wrong) else ""
    caption = f"{shown}{len(wrong):,} images that the model got wrong; {PREDICTIONS} has all"
    headings = ["image", "true class", "predicted", "its probability", "loss"]
    return {"headings": headings, "rows": rows, "caption": caption[0].upper() + caption[1:] + "."}
