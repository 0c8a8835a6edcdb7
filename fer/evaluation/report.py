"""What is said of an evaluated model: numbers, predictions, calibration, figures."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fer.data.datamodule import FERDataModule
from fer.errors import DataError
from fer.evaluation.calibration import fit_temperature
from fer.evaluation.leakage import Seen, TwinFinder
from fer.evaluation.metric_table import compute_metrics
from fer.evaluation.predict_split import Predictions, Voter, predict_split
from fer.evaluation.split_predictions import SplitPredictions
from fer.files import replacing, write_json
from fer.models.classifier import ExpressionClassifier
from fer.reporting.figure_table import draw_figures, save_figures

PREDICTIONS, SUBJECTS, CALIBRATION = "predictions.csv", "subjects.csv", "calibration.json"


def evaluate_run(
    classifier: ExpressionClassifier,
    datamodule: FERDataModule,
    folder: Path,
    device: torch.device,
    precision: str,
    figures: bool = True,
) -> tuple[dict[str, Any], SplitPredictions]:
    """Predict validation and test once, and write `predictions.csv`, `calibration.json` and (if asked) the figures.

    Returns:
        Metrics under `val/` and `test/`, and what was made of the test images.
    """
    assert datamodule.pack is not None, "setup comes first"
    voter = Voter(classifier, precision)
    found = {split: predict_split([voter], datamodule, split, device) for split in ("val", "test")}
    temperature = fit_temperature(found["val"].logits, found["val"].labels)
    splits = datamodule.splits
    twins = TwinFinder(datamodule.pack, [Seen(datamodule.pack, splits["train"], splits["val"])])
    outcomes = {
        split: judge(predictions, classifier.classes, datamodule, split, temperature, twins)
        for split, predictions in found.items()
    }
    metrics = {
        f"{split}/{name}": value for split, outcome in outcomes.items() for name, value in outcome.metrics.items()
    }
    write_calibration(folder, temperature, "val", metrics)
    write_outcome(folder, outcomes["test"])
    if figures:
        save_figures(draw_figures(outcomes["test"], classifier), folder / "figures")
    return metrics, outcomes["test"]


def judge(
    predictions: Predictions,
    classes: list[str],
    datamodule: FERDataModule,
    split: str,
    temperature: float,
    twins: TwinFinder,
) -> SplitPredictions:
    """The numbers of a split, over the images whose class the model knows.

    Args:
        predictions: of all images of the split; label -1 where the model does not know the class.
        classes: the model's.
        datamodule: whose pack the predictions' rows belong to.
        split: one of the module's.
        temperature: fitted on validation.
        twins: finds what the model knows already.

    Raises:
        DataError: no image is of a class that the model knows.
    """
    pack = datamodule.pack
    assert pack is not None, "setup comes first"
    known = predictions.labels >= 0
    if not known.any():
        raise DataError(
            f"data={datamodule.name} has no {split} image of {', '.join(classes)}, which is all that the model knows"
        )
    logits, labels, rows = predictions.logits[known], predictions.labels[known], predictions.rows[known]
    people = pack.subjects[rows]
    subjects = None if (people == "").any() else people
    exact, near = twins.exact(rows, split), twins.near(rows, split)
    images = pack.images
    found = SplitPredictions(
        classes=classes,
        logits=logits,
        labels=labels,
        names=pack.names[rows],
        subjects=subjects,
        images=lambda positions: images[rows[positions]],
        temperature=temperature,
        exact_duplicates=exact,
        near_duplicates=near if near is None or exact is None else exact | near,
        images_of_unknown_classes=int((~known).sum()),
        images_trained_on=twins.known(rows, split) if twins.seen else None,
        split=split,
        data=str(datamodule.name),
    )
    held_out = {"held_out": True} if datamodule.held_out else {}
    return replace(found, metrics=compute_metrics(found) | held_out)


def write_outcome(folder: Path, outcome: SplitPredictions) -> None:
    """Write `predictions.csv`, and `subjects.csv` where they are known."""
    write_predictions(folder / PREDICTIONS, outcome)
    if outcome.subjects is not None:
        write_subjects(folder / SUBJECTS, outcome.names, outcome.subjects)


def write_calibration(folder: Path, temperature: float, fitted_on: str, metrics: dict[str, Any]) -> None:
    """Write the temperature, on what it was fitted, and the calibration errors before and after."""
    errors = {name: metrics[name] for name in metrics if name.endswith(("/ece", "/ece_calibrated"))}
    write_json(folder / CALIBRATION, {"temperature": temperature, "fitted_on": fitted_on, **errors})


def write_predictions(path: Path, outcome: SplitPredictions) -> None:
    """A row per image: name, label, predicted, loss, and the probability of each class, as trained."""
    classes, probabilities = outcome.classes, outcome.probabilities
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "label", "predicted", "loss", *classes])
        for index, name in enumerate(outcome.names):
            label, predicted = classes[outcome.labels[index]], classes[outcome.predicted[index]]
            shares = (f"{value:.6g}" for value in probabilities[index])
            writer.writerow([name, label, predicted, f"{outcome.losses[index]:.6g}", *shares])


def write_subjects(path: Path, names: np.ndarray, subjects: np.ndarray) -> None:
    """Who is on each image: name, subject; in the order of `predictions.csv`."""
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "subject"])
        writer.writerows(zip(names, subjects, strict=True))
