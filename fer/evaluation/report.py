"""Everything the run folder says of a trained model: predictions, calibration, metrics, figures."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from fer.data.datamodule import FERDataModule
from fer.data.pack import Pack
from fer.data.twins import has_exact_twin, has_near_twin, signatures
from fer.evaluation.calibration import fit_temperature
from fer.evaluation.figures import confusion_figure, predictions_figure, reliability_figure
from fer.evaluation.metrics import classification_metrics, expected_calibration_error
from fer.evaluation.predict import Predictions, collect
from fer.files import replacing, write_json
from fer.model.classifier import ExpressionClassifier

WORST, EXAMPLES = 18, 9


def evaluate_run(
    classifier: ExpressionClassifier,
    datamodule: FERDataModule,
    folder: Path,
    device: torch.device,
    precision: str,
) -> tuple[dict[str, Any], dict[str, Figure]]:
    """Predict validation and test once, and write `predictions.csv`, `calibration.json` and the figures.

    Returns:
        Metrics under `val/` and `test/`, and the figures by name.
    """
    pack = datamodule.pack
    assert pack is not None, "setup comes first"
    classifier = classifier.to(device)
    found = {
        split: collect(classifier, datamodule.eval_loader(split, device), precision, f"evaluating {split}")
        for split in ("val", "test")
    }
    temperature = fit_temperature(found["val"].logits, found["val"].labels)
    marks = signatures(pack.images)
    metrics: dict[str, Any] = {}
    for split, predictions in found.items():
        earlier = ("train", "val") if split == "test" else ("train",)
        others = np.concatenate([datamodule.splits[name] for name in earlier])
        subjects = pack.subjects[predictions.rows]
        twins = has_exact_twin(pack.images, predictions.rows, others)
        numbers = classification_metrics(
            predictions.logits,
            predictions.labels,
            temperature=temperature,
            subjects=None if (subjects == "").any() else subjects,
            twins=twins,
            near_twins=twins | has_near_twin(marks, predictions.rows, others),
        )
        metrics |= {f"{split}/{name}": value for name, value in numbers.items()}
    write_json(
        folder / "calibration.json",
        {
            "temperature": temperature,
            "fitted_on": "val",
            **{name: metrics[name] for name in ("val/ece", "val/ece_calibrated", "test/ece", "test/ece_calibrated")},
        },
    )
    write_predictions(folder / "predictions.csv", found["test"], pack, datamodule.classes)
    figures = draw_figures(found["test"], pack, datamodule.classes, temperature)
    for name, figure in figures.items():
        with replacing(folder / "figures" / f"{name}.png", "wb") as file:
            figure.savefig(file, format="png")
    return metrics, figures


def write_predictions(path: Path, predictions: Predictions, pack: Pack, classes: list[str]) -> None:
    """A row per image: name, label, predicted, loss, and the probability of each class, as trained."""
    probabilities, losses = probabilities_and_losses(predictions)
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "label", "predicted", "loss", *classes])
        for index, row in enumerate(predictions.rows):
            writer.writerow(
                [
                    pack.names[row],
                    classes[predictions.labels[index]],
                    classes[probabilities[index].argmax()],
                    f"{losses[index]:.6g}",
                    *(f"{value:.6g}" for value in probabilities[index]),
                ]
            )


def draw_figures(predictions: Predictions, pack: Pack, classes: list[str], temperature: float) -> dict[str, Figure]:
    """The figures of a run, by file name."""
    probabilities, losses = probabilities_and_losses(predictions)
    guesses = probabilities.argmax(axis=1)
    matrix = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(matrix, (predictions.labels, guesses), 1)

    def sheet(chosen: np.ndarray, **options: Any) -> Figure:
        return predictions_figure(
            pack.images[predictions.rows[chosen]],
            [classes[k] for k in predictions.labels[chosen]],
            [classes[k] for k in guesses[chosen]],
            list(probabilities[chosen].max(axis=1)),
            **options,
        )

    worst = np.argsort(-losses, kind="stable")[:WORST]
    examples = np.random.default_rng(0).permutation(len(losses))[:EXAMPLES]
    cooled, _ = probabilities_and_losses(predictions, temperature)
    right = guesses == predictions.labels
    curves = {"as trained": (probabilities.max(axis=1), right), "calibrated": (cooled.max(axis=1), right)}
    eces = {
        "as trained": expected_calibration_error(predictions.logits, predictions.labels),
        "calibrated": expected_calibration_error(predictions.logits / temperature, predictions.labels),
    }
    return {
        "confusion_matrix": confusion_figure(matrix, classes, title="test"),
        "top_losses": sheet(worst, losses=list(losses[worst]), columns=6, title="Largest losses on the test images"),
        "predictions": sheet(examples, title="Test images drawn at random"),
        "reliability": reliability_figure(curves, eces),
    }


def probabilities_and_losses(predictions: Predictions, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, float64 [N, K], and cross-entropy in nats, float64 [N]."""
    logits = torch.from_numpy(predictions.logits).double() / temperature
    labels = torch.from_numpy(predictions.labels)
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    return logits.softmax(dim=1).numpy(), losses.numpy()
