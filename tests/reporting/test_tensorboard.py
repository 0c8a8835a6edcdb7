"""Event files hold what the dashboard is to show: read back here as TensorBoard reads them."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.util import tensor_util

from fer.evaluation.split_predictions import SplitPredictions
from fer.models.classifier import ExpressionClassifier
from fer.models.network import timm_network
from fer.reporting.figures import save_figure
from fer.reporting.tensorboard import RunLogger, declare_run, log_results, principal_components, result_table
from fer.runs.choices import Choices
from fer.runs.folder import RunFolder
from fer.runs.tables import History
from fer.training.loggers import HistoryLogger, failure_marked, start_logging
from tests.composing import composed

CLASSES = ["angry", "happy", "sad"]
METRICS = {
    "test/accuracy": 0.75,
    "test/accuracy_ci95": [0.7, 0.8],
    "test/macro_f1": 0.5,
    "test/ece": 0.25,
    "test/images": 1234,
    "val/accuracy": 0.625,
    "val/nll": None,
    "best_epoch": 1,
}


def outcome_of(count: int) -> SplitPredictions:
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    logits = generator.normal(size=(count, 3)).astype(np.float32)
    logits[np.arange(count), labels] += 2
    images = generator.integers(0, 256, (count, 24, 24), dtype=np.uint8)
    return SplitPredictions(
        CLASSES, logits, labels, np.arange(count).astype(str), None, lambda positions: images[positions]
    )


@pytest.fixture(scope="module")
def classifier() -> ExpressionClassifier:
    torch.manual_seed(0)
    network = timm_network("test_resnet", num_classes=3, weights="none")
    facts = {"classes": CLASSES, "image_size": 32, "mean": [0.5], "std": [0.25]}
    return ExpressionClassifier(network, network_spec={}, **facts)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_overrides: list[str], classifier: ExpressionClassifier) -> Path:
    """The folder of a run of two epochs, without the training."""
    cfg = composed("train", *tiny_overrides, "freeze=partial", "loss.gamma=2")
    groups = {"model": "resnet18", "freeze": "partial", "augment": "light", "optimizer": "adamw"}
    choices = Choices(groups, ("freeze=partial", "loss.gamma=2"))
    folder = tmp_path_factory.mktemp("run")
    logger = RunLogger(folder)
    declare_run(logger.experiment, cfg, choices)
    for epoch in range(2):
        logger.log_metrics({"learning_rate/head": 0.1}, step=10 * epoch)
        logger.log_metrics({"epoch": epoch, "val/loss": 1.0 - epoch / 2, "val/accuracy": 0.5}, step=10 * epoch + 9)
        logger.log_metrics({"epoch": epoch, "train/loss": 2.0 - epoch}, step=10 * epoch + 9)
    for name in ("schedule", "something", "confusion_matrix", "top_losses"):
        save_figure(Figure((1, 1)), folder / "figures", name)
    log_results(logger.experiment, folder, METRICS, outcome_of(40), classifier, 20)
    return folder


@pytest.fixture(scope="module")
def shown(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run / "tensorboard"), {"scalars": 0, "images": 0, "tensors": 0}).Reload()


def text(shown: EventAccumulator, tag: str) -> str:
    return tensor_util.make_ndarray(shown.Tensors(f"{tag}/text_summary")[-1].tensor_proto).item().decode()


def test_curves_have_their_sections_and_the_epoch_is_none(shown: EventAccumulator) -> None:
    sections = sorted({tag.split("/")[0] for tag in shown.Tags()["scalars"]})
    assert sections == ["train", "val", "view_2_results", "watch_learning_rate"]  # as the dashboard sorts them
    assert [(event.step, event.value) for event in shown.Scalars("val/loss")] == [(9, 1.0), (19, 0.5)]
    assert [event.value for event in shown.Scalars("view_2_results/test_accuracy")] == [0.75]


def test_training_and_validation_share_a_chart_and_stages_another(shown: EventAccumulator) -> None:
    content = tensor_util.make_ndarray(shown.Tensors("custom_scalars__config__")[-1].tensor_proto).item()
    layout = layout_pb2.Layout.FromString(content)
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    assert charts["loss"] == ["train/loss", "val/loss"]
    assert charts["learning rate of each stage"] == ["watch_learning_rate/.+"]
    assert charts["recall of each class, validation"] == ["val_recall/.+"]
    assert [category.title[0] for category in layout.category] == ["1", "2", "3"]


def test_figures_stand_in_a_fixed_order_after_the_curves(shown: EventAccumulator, run: Path) -> None:
    tags = [tag for tag in sorted(shown.Tags()["images"]) if tag.startswith("view_2_results/")]
    names = ["01_confusion_matrix", "02_top_losses", "03_schedule", "04_something"]
    assert tags == [f"view_2_results/{name}" for name in names]
    assert tags[0] > max(tag for tag in shown.Tags()["scalars"] if tag.startswith(("train", "val")))
    picture = shown.Images(tags[0])[0]
    assert picture.encoded_image_string == (run / "figures" / "confusion_matrix.png").read_bytes()
    assert (picture.width, picture.height) == (150, 150)


def test_the_text_tab_has_the_result_and_the_config(shown: EventAccumulator) -> None:
    assert "| accuracy | 62.50% | 75.00% |" in text(shown, "1_result")
    assert "| 95 % interval | – | 70.0% to 80.0% |" in text(shown, "1_result")
    assert "    backbone: test_resnet" in text(shown, "2_config")


def test_a_missing_number_is_a_dash_in_the_table() -> None:
    lines = result_table(METRICS).splitlines()
    assert "| negative log-likelihood | – | – |" in lines
    assert "| images | – | 1,234 |" in lines


def test_every_class_has_its_precision_recall_curve(shown: EventAccumulator) -> None:
    outcome = outcome_of(40)
    for index, name in enumerate(CLASSES):
        curve = tensor_util.make_ndarray(shown.Tensors(f"test/{name}")[-1].tensor_proto)
        true_positives, false_positives = curve[0], curve[1]
        assert true_positives[0] == (outcome.labels == index).sum()  # at threshold 0 all are named
        assert false_positives[0] == (outcome.labels != index).sum()


def test_hyperparameters_come_with_the_real_metrics_and_no_run_of_their_own(shown: EventAccumulator, run: Path) -> None:
    content = shown.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    values = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert values["backbone"].string_value == "test_resnet"
    assert values["lr"].number_value == pytest.approx(3e-3)
    content = shown.summary_metadata["_hparams_/experiment"].plugin_data.content
    experiment = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
    assert {info.name.tag for info in experiment.metric_infos} <= set(shown.Tags()["scalars"])
    assert {info.display_name for info in experiment.metric_infos} >= {"test/accuracy", "test/macro_f1", "val/accuracy"}
    assert (values["freeze"].string_value, values["augment"].string_value) == ("partial", "light")
    assert values["loss.gamma"].number_value == 2
    assert {path.parent for path in run.rglob("events.out.*")} == {run / "tensorboard"}
    assert "hp_metric" not in shown.Tags()["scalars"]


def status_of(folder: Path) -> int | None:
    shown = EventAccumulator(str(folder)).Reload()
    metadata = shown.summary_metadata.get("_hparams_/session_end_info")
    if metadata is None:
        return None
    content = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
    return content.session_end_info.status


def test_a_run_is_running_then_successful_or_failed(run: Path, tmp_path: Path, tiny_config: Callable) -> None:
    assert status_of(run / "tensorboard") == api_pb2.STATUS_SUCCESS
    logger = RunLogger(tmp_path)
    start_logging([logger], tiny_config())
    logger.experiment.flush()
    folder = tmp_path / "tensorboard"
    assert status_of(folder) is None
    with pytest.raises(RuntimeError, match="crashed"), failure_marked([logger]):
        raise RuntimeError("crashed")
    assert status_of(folder) == api_pb2.STATUS_FAILURE
    start_logging([RunLogger(tmp_path)], tiny_config())  # resumed
    assert status_of(folder) is None
    with pytest.raises(SystemExit), failure_marked([logger]):
        raise SystemExit(143)  # it was stopped
    assert status_of(folder) is None


def test_the_projector_has_features_faces_and_what_was_said_of_them(run: Path) -> None:
    folder = run / "tensorboard"
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig()).embeddings[0]
    coordinates = np.loadtxt(folder / config.tensor_path, delimiter="\t")
    with (folder / config.metadata_path).open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(coordinates) == len(rows) == 40
    assert coordinates.shape[1] <= 48
    outcome = outcome_of(40)
    assert [row["truth"] for row in rows] == [CLASSES[label] for label in outcome.labels]
    assert [row["result"] == "correct" for row in rows] == outcome.correct.tolist()
    assert (folder / config.sprite.image_path).read_bytes().startswith(b"\x89PNG")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_000_000


def test_principal_components_keep_distances() -> None:
    features = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    found = principal_components(features, 48)
    assert found.shape == (30, 5)
    assert np.linalg.norm(found[0] - found[1]) == pytest.approx(np.linalg.norm(features[0] - features[1]), rel=1e-3)
    assert principal_components(np.ones((4, 3)), 2).tolist() == np.zeros((4, 2)).tolist()


def test_a_history_has_a_row_for_each_epoch(tmp_path: Path) -> None:
    run = tmp_path
    logger = HistoryLogger(RunFolder(run))
    for epoch in range(2):
        logger.log_metrics({"learning_rate/head": 0.1}, step=10 * epoch)
        logger.log_metrics({"epoch": epoch, "val/loss": 1.0 - epoch / 2, "val/accuracy": 0.5}, step=10 * epoch + 9)
        logger.log_metrics({"epoch": epoch, "train/loss": 2.0 - epoch}, step=10 * epoch + 9)
    assert RunFolder(run).read_history() == {
        0: {"val/loss": 1.0, "val/accuracy": 0.5, "train/loss": 2.0},
        1: {"val/loss": 0.5, "val/accuracy": 0.5, "train/loss": 1.0},
    }
    assert (run / "history.csv").read_text().splitlines()[0] == "epoch,val/loss,val/accuracy,train/loss"


def test_a_history_goes_on_and_forgets_epochs_that_are_run_again(tmp_path: Path) -> None:
    for epoch in range(4):
        History(RunFolder(tmp_path).history_file).add(epoch, {"val/loss": float(epoch)})
    resumed = History(RunFolder(tmp_path).history_file)
    resumed.add(2, {"val/loss": 9.0})
    resumed.add(2, {"train/loss": 8.0})
    assert RunFolder(tmp_path).read_history() == {
        0: {"val/loss": 0.0},
        1: {"val/loss": 1.0},
        2: {"val/loss": 9.0, "train/loss": 8.0},
    }
    assert RunFolder(tmp_path / "elsewhere").read_history() == {}
