"""The figures of one evaluated split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from fer.evaluation.gradcam import class_maps
from fer.evaluation.metrics import expected_calibration_error
from fer.evaluation.split_predictions import SplitPredictions
from fer.models.classifier import ExpressionClassifier
from fer.reporting.face_grids import attention_figure, predictions_figure
from fer.reporting.figures import (
    class_figure,
    confused_pairs_figure,
    confusion_figure,
    counted,
    precision_recall_figure,
    reliability_figure,
    save_figure,
)

WORST, EXAMPLES, EXPLAINED = 18, 9, 6  # images on each sheet; of Grad-CAM, of the right and of the wrong each


def draw_figures(
    outcome: SplitPredictions, classifier: ExpressionClassifier | None = None, device: torch.device | None = None
) -> dict[str, Figure]:
    """Figures by file name; those of faces where the images are at hand, Grad-CAM where one model made the outcome.

    Args:
        outcome: at least one image.
        classifier: that made it, with the same classes.
        device: for Grad-CAM; that of the classifier where None.
    """
    of = outcome.split if not outcome.data else f"{outcome.data}, {outcome.split}"
    figures = {
        "confusion_matrix": confusion_figure(outcome.confusion, outcome.classes, title=of),
        "confused_pairs": confused_pairs_figure(outcome.confusion, outcome.classes),
        "classes": class_figure(outcome.confusion, outcome.classes),
        "reliability": _reliability(outcome),
        "precision_recall": precision_recall_figure(outcome.probabilities, outcome.labels, outcome.classes),
    }
    if outcome.images is None:
        return figures
    worst = np.argsort(-outcome.losses, kind="stable")[:WORST]
    examples = np.random.default_rng(0).permutation(len(outcome))[:EXAMPLES]
    figures["top_losses"] = _sheet(
        outcome, worst, losses=outcome.losses[worst].tolist(), columns=6, title=f"Largest losses: {of}"
    )
    figures["predictions"] = _sheet(outcome, examples, title=f"Chosen at random: {of}")
    if classifier is not None:
        figures |= _attention(outcome, classifier, device or classifier.device)
    return figures


def save_figures(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write each figure as PNG and SVG.

    Args:
        figures: by file name.
        folder: of the figures.
    """
    for name, figure in figures.items():
        save_figure(figure, folder, name)


def _names(outcome: SplitPredictions, classes: np.ndarray) -> list[str]:
    return [outcome.classes[index] for index in classes]


def _sheet(outcome: SplitPredictions, chosen: np.ndarray, **options: Any) -> Figure:
    assert outcome.images is not None
    return predictions_figure(
        outcome.images(chosen),
        _names(outcome, outcome.labels[chosen]),
        _names(outcome, outcome.predicted[chosen]),
        outcome.probabilities[chosen].max(axis=1).tolist(),
        **options,
    )


def _reliability(outcome: SplitPredictions) -> Figure:
    temperature = np.asarray(outcome.temperature, dtype=np.float32).reshape(-1, 1)
    return reliability_figure(
        {
            "as trained": (outcome.probabilities.max(axis=1), outcome.correct),
            "calibrated": (outcome.calibrated.max(axis=1), outcome.correct),
        },
        {
            "as trained": expected_calibration_error(outcome.logits, outcome.labels),
            "calibrated": expected_calibration_error(outcome.logits / temperature, outcome.labels),
        },
        title=f"Reliability, {counted(len(outcome), outcome.split)}",
    )


def _attention(outcome: SplitPredictions, classifier: ExpressionClassifier, device: torch.device) -> dict[str, Figure]:
    assert outcome.images is not None
    chosen = explained(outcome)
    images, predicted, labels = outcome.images(chosen), outcome.predicted[chosen], outcome.labels[chosen]
    maps = class_maps(classifier, np.concatenate([images, images]), [*predicted, *labels], device)
    if maps is None:
        return {}
    truths, predictions = _names(outcome, labels), _names(outcome, predicted)
    for_predictions, for_truths = np.split(maps, 2)
    title = "Grad-CAM: what speaks for a class"
    return {"gradcam": attention_figure(images, truths, predictions, for_predictions, for_truths, title=title)}


def explained(outcome: SplitPredictions, count: int = EXPLAINED) -> np.ndarray:
    """Images for Grad-CAM, as positions: right ones of as many classes as there are, then wrong ones, drawn at random.

    Args:
        outcome: of a split.
        count: of the right and of the wrong ones each, at most.
    """
    drawn = np.random.default_rng(0).permutation(len(outcome))
    right, wrong = drawn[outcome.correct[drawn]], drawn[~outcome.correct[drawn]]
    turns = np.zeros(len(right), dtype=int)  # an image's place among those of its class
    for index in range(len(outcome.classes)):
        mine = outcome.labels[right] == index
        turns[mine] = np.arange(mine.sum())
    return np.concatenate([right[np.lexsort((outcome.labels[right], turns))][:count], wrong[:count]])
