"""The files of a run folder agree with each other and with the classifier."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from fer.data.datamodule import FERDataModule
from fer.data.pack import Pack
from fer.evaluation.calibration import fit_temperature
from fer.evaluation.predict import Predictions, collect
from fer.evaluation.report import draw_figures, evaluate_run, probabilities_and_losses, write_predictions
from fer.model.classifier import ExpressionClassifier
from fer.model.network import timm_network

CLASSES = ["angry", "happy", "sad"]
NAMES = ['a, "b".png', "it's/ü\n.png", "test/happy/000.png", " leading.png", "=1+1.png"]


def pack_of(names: list[str], colour: bool = False) -> Pack:
    count = len(names)
    shape = (count, 16, 16, 3) if colour else (count, 16, 16)
    return Pack(
        folder=None,
        images=np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8),
        names=np.array(names),
        emotions=np.array([CLASSES[n % 3] for n in range(count)]),
        splits=np.array(["test"] * count),
        subjects=np.array([""] * count),
        manifest={},
    )


def predictions_of(count: int) -> Predictions:
    logits = 3 * np.random.default_rng(1).normal(size=(count, 3)).astype(np.float32)
    return Predictions(logits, np.arange(count) % 3, np.arange(count))


def read(path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_predictions_hold_a_row_per_image_under_any_name(tmp_path):
    predictions = predictions_of(len(NAMES))
    write_predictions(tmp_path / "predictions.csv", predictions, pack_of(NAMES), CLASSES)
    rows = read(tmp_path / "predictions.csv")
    assert list(rows[0]) == ["name", "label", "predicted", "loss", *CLASSES]
    assert [row["name"] for row in rows] == NAMES
    for index, row in enumerate(rows):
        shares = [float(row[name]) for name in CLASSES]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert row["label"] == CLASSES[index % 3]
        assert row["predicted"] == CLASSES[int(np.argmax(shares))]
        assert float(row["loss"]) == pytest.approx(-np.log(shares[index % 3]), rel=1e-4)


def test_rows_are_those_of_the_pack(tmp_path):
    predictions = predictions_of(2)
    chosen = Predictions(predictions.logits, predictions.labels, np.array([4, 2]))
    write_predictions(tmp_path / "predictions.csv", chosen, pack_of(NAMES), CLASSES)
    assert [row["name"] for row in read(tmp_path / "predictions.csv")] == [NAMES[4], NAMES[2]]


def test_probabilities_and_losses_of_extreme_logits_are_finite_or_right():
    predictions = Predictions(np.array([[1000.0, 0.0], [0.0, 0.0]], dtype=np.float32), np.array([0, 1]), np.arange(2))
    probabilities, losses = probabilities_and_losses(predictions)
    assert probabilities == pytest.approx(np.array([[1, 0], [0.5, 0.5]]))
    assert losses == pytest.approx([0, np.log(2)])


@pytest.mark.parametrize(("count", "colour"), [(1, True), (40, False)])
def test_figures_show_the_largest_losses_first(count, colour):
    predictions = predictions_of(count)
    figures = draw_figures(predictions, pack_of([f"{n}.png" for n in range(count)], colour), CLASSES, 2.0)
    assert set(figures) == {"confusion_matrix", "top_losses", "predictions", "reliability"}
    _, losses = probabilities_and_losses(predictions)
    shown = [float(axes.get_xlabel().split("loss ")[1]) for axes in figures["top_losses"].axes]
    assert shown == pytest.approx(sorted(losses, reverse=True)[:18], abs=0.006)
    assert len(figures["predictions"].axes) == min(count, 9)
    assert f"{count} images" in figures["confusion_matrix"].axes[0].get_title()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, data_root):
    """A classifier that has learnt nothing, on the small CK+ look-alike."""
    torch.manual_seed(0)
    datamodule = FERDataModule("ckplus", root=str(data_root), folds=5, image_size=32, default_classes=CLASSES)
    datamodule.setup()
    classifier = ExpressionClassifier(
        timm_network("test_resnet", num_classes=3, weights="none"),
        network_spec={},
        classes=datamodule.classes,
        image_size=32,
        mean=datamodule.mean,
        std=datamodule.std,
    )
    with torch.no_grad():  # it knows how frequent the classes are in validation, and is too sure of it
        shares = np.bincount(datamodule.labels[datamodule.splits["val"]], minlength=3) + 1
        classifier.network.fc.weight.mul_(0.1)
        classifier.network.fc.bias.copy_(3 * torch.from_numpy(shares).log())
    folder = tmp_path_factory.mktemp("run")
    metrics, figures = evaluate_run(classifier, datamodule, folder, torch.device("cpu"), "32-true")
    return classifier, datamodule, folder, metrics, figures


def test_a_run_folder_agrees_with_its_numbers(evaluated):
    classifier, datamodule, folder, metrics, _figures = evaluated
    rows = read(folder / "predictions.csv")
    assert len(rows) == metrics["test/images"] == len(datamodule.splits["test"])
    assert np.mean([row["label"] == row["predicted"] for row in rows]) == pytest.approx(metrics["test/accuracy"])
    assert np.mean([float(row["loss"]) for row in rows]) == pytest.approx(metrics["test/nll"], rel=1e-4)
    found = collect(classifier, datamodule.eval_loader("test", torch.device("cpu")), "32-true", "")
    names = [datamodule.pack.names[row] for row in found.rows]
    assert [row["name"] for row in rows] == names


def test_numbers_are_flat_and_can_be_written_as_json(evaluated):
    metrics = evaluated[3]
    names = {"accuracy", "accuracy_ci95", "macro_f1", "balanced_accuracy", "nll", "ece", "ece_calibrated"}
    assert {f"{split}/{name}" for split in ("val", "test") for name in names} <= set(metrics)
    assert {"test/accuracy_deduplicated", "val/accuracy_deduplicated"} <= set(metrics)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_the_temperature_is_fitted_on_validation(evaluated):
    classifier, datamodule, folder, metrics, _figures = evaluated
    found = collect(classifier, datamodule.eval_loader("val", torch.device("cpu")), "32-true", "")
    calibration = json.loads((folder / "calibration.json").read_text())
    assert calibration["fitted_on"] == "val"
    assert calibration["temperature"] == pytest.approx(fit_temperature(found.logits, found.labels))
    assert calibration["test/ece_calibrated"] == metrics["test/ece_calibrated"]


def test_figures_stand_in_the_folder_as_pictures(evaluated):
    folder, figures = evaluated[2], evaluated[4]
    for name in ("confusion_matrix", "top_losses", "predictions", "reliability"):
        assert name in figures
        with Image.open(folder / "figures" / f"{name}.png") as picture:
            assert min(picture.size) > 200
