"""The table of figures: `FIGURES` has a row for each, and run folder, report and TensorBoard follow it.

To add a figure of an evaluated split, write the function that draws it and add its row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from fer.evaluation.inspection import class_maps
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

LARGEST_LOSSES, EXAMPLES, EXPLAINED = 18, 9, 6  # faces on each sheet; for Grad-CAM, of the right and of the wrong each

Place = Literal["report", "tensorboard"]  # every figure is in the run folder


@dataclass(frozen=True)
class FigureRow:
    """A row of a table of figures.

    Args:
        name: of its files, without suffix.
        title: for people; also what a screen reader says in place of the picture.
        caption: how to read it.
        draw: from the predictions of a split and the classifier that made them (None for ensembles and pooled folds)
            to the figure, or to None where it cannot be drawn; None for figures that the training itself draws.
        faces: whether it shows faces, whose brightness must stay as it is on a dark page.
        wide: whether it is unreadable at the width of a phone, so that it scrolls there.
        shown: the places that show it.
    """

    name: str
    title: str
    caption: str = ""
    draw: Callable[..., Any] | None = None
    faces: bool = False
    wide: bool = False
    shown: tuple[Place, ...] = ("report", "tensorboard")


def draw_reliability(predictions: SplitPredictions, _: ExpressionClassifier | None) -> Figure:
    shares = {"as trained": predictions.probabilities, "calibrated": predictions.calibrated}
    scores = {"as trained": predictions.logits, "calibrated": predictions.calibrated_logits}
    curves = {name: (probabilities.max(axis=1), predictions.correct) for name, probabilities in shares.items()}
    errors = {name: expected_calibration_error(logits, predictions.labels) for name, logits in scores.items()}
    return reliability_figure(curves, errors, title=f"Reliability, {counted(len(predictions), predictions.split)}")


def draw_examples(predictions: SplitPredictions, _: ExpressionClassifier | None) -> Figure | None:
    chosen = np.random.default_rng(0).permutation(len(predictions))[:EXAMPLES]
    return _sheet(predictions, chosen, title=f"Chosen at random: {evaluated_on(predictions)}")


def draw_largest_losses(predictions: SplitPredictions, _: ExpressionClassifier | None) -> Figure | None:
    chosen = np.argsort(-predictions.losses, kind="stable")[:LARGEST_LOSSES]
    losses = predictions.losses[chosen].tolist()
    return _sheet(predictions, chosen, losses=losses, columns=6, title=f"Largest losses: {evaluated_on(predictions)}")


def draw_gradcam(predictions: SplitPredictions, classifier: ExpressionClassifier | None) -> Figure | None:
    if predictions.images is None or classifier is None:
        return None
    chosen = images_to_explain(predictions)
    images, predicted, labels = predictions.images(chosen), predictions.predicted[chosen], predictions.labels[chosen]
    maps = class_maps(classifier, np.concatenate([images, images]), [*predicted, *labels], classifier.device)
    if maps is None:
        return None
    for_predictions, for_truths = np.split(maps, 2)
    truths, named = _class_names(predictions, labels), _class_names(predictions, predicted)
    title = "Grad-CAM: what speaks for a class"
    return attention_figure(images, truths, named, for_predictions, for_truths, title=title)


FIGURES: tuple[FigureRow, ...] = (
    FigureRow(
        "confusion_matrix",
        "Confusion matrix",
        "Rows are the true classes, columns the predicted ones. Each cell has its share of the row and its number of "
        "images. The diagonal is what was right.",
        lambda p, _: confusion_figure(p.confusion, p.classes, title=evaluated_on(p)),
        wide=True,
    ),
    FigureRow(
        "confused_pairs",
        "Most frequent mistakes",
        "The pairs of classes that the model confuses most often.",
        lambda p, _: confused_pairs_figure(p.confusion, p.classes),
    ),
    FigureRow(
        "classes",
        "Precision, recall and F1 of each class",
        "Precision: how often the model is right when it predicts the class. Recall: the share of the images of the "
        "class that it finds. F1: the harmonic mean of both.",
        lambda p, _: class_figure(p.confusion, p.classes),
        wide=True,
    ),
    FigureRow(
        "precision_recall",
        "Precision against recall of each class",
        "A higher threshold on the probability of a class usually gives more precision and less recall. AP (average "
        "precision) is the area below the curve. Dotted: what chance gives. Grey: the other classes.",
        lambda p, _: precision_recall_figure(p.probabilities, p.labels, p.classes),
        wide=True,
    ),
    FigureRow(
        "reliability",
        "Reliability",
        "Is the model right as often as its probabilities say? On the dotted line it is. A larger mark stands for more "
        "images. Calibration divides the logits by a temperature that is fitted on validation images.",
        draw_reliability,
    ),
    FigureRow(
        "predictions",
        "Images drawn at random",
        "Nine images with the prediction, its probability and the true class. Orange: wrong.",
        draw_examples,
        faces=True,
    ),
    FigureRow(
        "top_losses",
        "Largest losses",
        "The images on which the model is most wrong. Many of them have doubtful labels.",
        draw_largest_losses,
        faces=True,
        wide=True,
    ),
    FigureRow(
        "gradcam",
        "What speaks for a class (Grad-CAM)",
        "Bright: where the deepest layer with 4 x 4 cells or more speaks for a class. It is no proof that the model "
        "uses these parts. Above: images that the model got right. Below: images that it got wrong, with a map for the "
        "predicted class and one for the true class. Maps of small images are coarse.",
        draw_gradcam,
        faces=True,
        wide=True,
    ),
    FigureRow(
        "training_curves",
        "Training",
        "Loss and accuracy after each epoch. The marked epoch was the best on validation images; its weights are the "
        "ones tested. The training loss is that of augmented images and smoothed labels, so it may be above the "
        "validation loss.",
        wide=True,
    ),
    FigureRow(
        "schedule",
        "Learning rates and frozen stages",
        "The learning rate of each stage of the network, and when the stage was frozen.",
    ),
    FigureRow(
        "lr_find",
        "Learning-rate range test",
        "The training loss while the learning rate rises. The marks are the suggested rates.",
    ),
)


def draw_figures(predictions: SplitPredictions, classifier: ExpressionClassifier | None = None) -> dict[str, Figure]:
    """Draw every figure of the table that the predictions allow, by name.

    Args:
        predictions: of at least one image. Figures of faces need `images`.
        classifier: that made them, for Grad-CAM; None for ensembles and pooled folds.
    """
    drawn = {row.name: row.draw(predictions, classifier) for row in FIGURES if row.draw is not None}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def save_figures(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write each figure as PNG and SVG.

    Args:
        figures: by name.
        folder: of the figures.
    """
    for name, figure in figures.items():
        save_figure(figure, folder, name)


def figures_in(folder: Path, place: Place, suffixes: Sequence[str] = (".png",)) -> list[tuple[FigureRow, Path]]:
    """The figures in a folder that a place shows, in the order of the table, those that it does not know last.

    Args:
        folder: of the figures.
        place: that shows them.
        suffixes: of the wanted files; of two files of one figure the later suffix wins.
    """
    files = {path.stem: path for suffix in suffixes for path in sorted(folder.glob(f"*{suffix}"))}
    known = [(row, files[row.name]) for row in FIGURES if row.name in files and place in row.shown]
    others = sorted(set(files) - {row.name for row in FIGURES})
    return known + [(FigureRow(name, name.replace("_", " ").capitalize()), files[name]) for name in others]


def evaluated_on(predictions: SplitPredictions) -> str:
    """`fer2013, test`."""
    return f"{predictions.data}, {predictions.split}" if predictions.data else predictions.split


def images_to_explain(predictions: SplitPredictions, count: int = EXPLAINED) -> np.ndarray:
    """Positions of images for Grad-CAM: right ones of as many classes as possible, then wrong ones, at random.

    Args:
        predictions: of a split.
        count: of the right and of the wrong ones each, at most.
    """
    order = np.random.default_rng(0).permutation(len(predictions))
    right, wrong = order[predictions.correct[order]], order[~predictions.correct[order]]
    rank = np.zeros(len(right), dtype=int)  # the position of an image among those of its class
    for index in range(len(predictions.classes)):
        of_class = predictions.labels[right] == index
        rank[of_class] = np.arange(of_class.sum())
    return np.concatenate([right[np.lexsort((predictions.labels[right], rank))][:count], wrong[:count]])


def _sheet(predictions: SplitPredictions, chosen: np.ndarray, **options: Any) -> Figure | None:
    """Faces with what was predicted of them; None where the images are not at hand."""
    if predictions.images is None:
        return None
    return predictions_figure(
        predictions.images(chosen),
        _class_names(predictions, predictions.labels[chosen]),
        _class_names(predictions, predictions.predicted[chosen]),
        predictions.probabilities[chosen].max(axis=1).tolist(),
        **options,
    )


def _class_names(predictions: SplitPredictions, indices: np.ndarray) -> list[str]:
    return [predictions.classes[index] for index in indices]
