"""The files that an evaluation is written to agree with each other and with the classifier."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fer.data.datamodule import FERDataModule
from fer.evaluation.evaluate import evaluate_run
from fer.evaluation.evaluation import Evaluation
from fer.evaluation.metric_table import compute_metrics
from fer.evaluation.metrics import fit_temperature
from fer.evaluation.predict_split import collect
from fer.evaluation.split_predictions import SplitPredictions
from fer.models.classifier import ExpressionClassifier
from fer.models.network import timm_network
from fer.reporting.write import write_evaluation
from fer.runs.folder import RunFolder

CLASSES = ["angry", "happy", "sad"]
NAMES = ['a, "b".png', "it's/ü\n.png", "test/happy/000.png", " leading.png", "=1+1.png"]


def predictions_of(names: list[str], **changes: Any) -> SplitPredictions:
    count = len(names)
    images = np.random.default_rng(0).integers(0, 256, (count, 16, 16), dtype=np.uint8)
    logits = 3 * np.random.default_rng(1).normal(size=(count, 3)).astype(np.float32)
    facts: dict[str, Any] = {
        "classes": CLASSES,
        "logits": logits,
        "labels": np.arange(count) % 3,
        "names": np.array(names),
        "subjects": None,
        "images": lambda positions: images[positions],
        "temperature": 2.0,
    }
    return SplitPredictions(**facts | changes)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_predictions_hold_a_row_per_image_under_any_name(tmp_path):
    predictions = predictions_of(NAMES, subjects=np.array(["S1", "S2", 'S "3"', "S1", "S4"]))
    metrics = {f"test/{name}": value for name, value in compute_metrics(predictions).items()}
    write_evaluation(Evaluation(predictions, metrics, 2.0, "val"), RunFolder(tmp_path), figures=False)
    rows = read(tmp_path / "predictions.csv")
    assert list(rows[0]) == ["name", "label", "predicted", "loss", *CLASSES]
    assert [row["name"] for row in rows] == NAMES
    for index, row in enumerate(rows):
        shares = [float(row[name]) for name in CLASSES]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert row["label"] == CLASSES[index % 3]
        assert row["predicted"] == CLASSES[int(np.argmax(shares))]
        assert float(row["loss"]) == pytest.approx(-np.log(shares[index % 3]), rel=1e-4)
    people = read(tmp_path / "subjects.csv")
    assert [row["name"] for row in people] == NAMES
    assert [row["subject"] for row in people] == ["S1", "S2", 'S "3"', "S1", "S4"]


def test_probabilities_and_losses_of_extreme_logits_are_finite_or_right():
    extreme = predictions_of(["a", "b"], logits=np.array([[1000, 0, 0], [0, 0, -1000]], dtype=np.float32))
    assert extreme.probabilities == pytest.approx(np.array([[1, 0, 0], [0.5, 0.5, 0]]))
    assert extreme.losses == pytest.approx([0, np.log(2)])
    assert extreme.confusion.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_images_can_have_temperatures_of_their_own():
    logits = np.array([[2, 0, 0], [2, 0, 0]], dtype=np.float32)
    each = predictions_of(["a", "b"], logits=logits, temperature=np.array([1.0, 4.0]))
    assert each.calibrated[0] == pytest.approx(each.probabilities[0])
    assert each.calibrated[1] == pytest.approx(np.exp([0.5, 0, 0]) / np.exp([0.5, 0, 0]).sum())


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
    evaluation = evaluate_run(classifier, datamodule, torch.device("cpu"), "32-true")
    write_evaluation(evaluation, RunFolder(folder), classifier=classifier)
    return classifier, datamodule, folder, evaluation.metrics


def test_a_run_folder_agrees_with_its_numbers(evaluated):
    classifier, datamodule, folder, metrics = evaluated
    rows = read(folder / "predictions.csv")
    assert len(rows) == metrics["test/images"] == len(datamodule.splits["test"])
    assert np.mean([row["label"] == row["predicted"] for row in rows]) == pytest.approx(metrics["test/accuracy"])
    assert np.mean([float(row["loss"]) for row in rows]) == pytest.approx(metrics["test/nll"], rel=1e-4)
    found = collect(classifier, datamodule.eval_loader("test", torch.device("cpu")), "32-true", "")
    names = [datamodule.pack.names[row] for row in found.rows]
    assert [row["name"] for row in rows] == names
    people = read(folder / "subjects.csv")
    assert [row["name"] for row in people] == names
    assert {row["subject"] for row in people} == set(datamodule.pack.subjects[found.rows])
    assert metrics["test/subjects"] == len({row["subject"] for row in people})


def test_numbers_are_flat_and_can_be_written_as_json(evaluated):
    metrics = evaluated[3]
    names = {"accuracy", "accuracy_ci95", "macro_f1", "balanced_accuracy", "macro_auroc", "nll", "brier", "ece"}
    names |= {"nll_calibrated", "brier_calibrated", "ece_calibrated", "images_of_unknown_classes"}
    names |= {f"{name}_happy" for name in ("precision", "recall", "f1", "support", "auroc")}
    assert {f"{split}/{name}" for split in ("val", "test") for name in names} <= set(metrics)
    assert {"test/accuracy_deduplicated", "val/accuracy_deduplicated"} <= set(metrics)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_the_temperature_is_fitted_on_validation(evaluated):
    classifier, datamodule, folder, metrics = evaluated
    found = collect(classifier, datamodule.eval_loader("val", torch.device("cpu")), "32-true", "")
    calibration = json.loads((folder / "calibration.json").read_text())
    assert calibration["fitted_on"] == "val"
    assert calibration["temperature"] == pytest.approx(fit_temperature(found.logits, found.labels))
    assert calibration["test/ece_calibrated"] == metrics["test/ece_calibrated"]


def test_the_metrics_are_written_last_after_the_loggers(tmp_path):
    folder = RunFolder(tmp_path)
    predictions = predictions_of(NAMES)
    metrics = {f"test/{name}": value for name, value in compute_metrics(predictions).items()}

    def log_results() -> None:
        assert folder.predictions_file.exists()
        assert folder.calibration_file.exists()
        assert not folder.is_finished()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_evaluation(Evaluation(predictions, metrics, 2.0, "val"), folder, figures=False, log_results=log_results)
    assert not folder.is_finished()


def test_figures_stand_in_the_folder_as_pictures(evaluated):
    folder = evaluated[2]
    for name in ("confusion_matrix", "top_losses", "predictions", "reliability"):
        with Image.open(folder / "figures" / f"{name}.png") as picture:
            assert min(picture.size) > 200
