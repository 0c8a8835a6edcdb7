"""Callbacks collect while a Trainer really runs, for seconds."""

import io
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import Trainer
from pytorch_lightning.demos.boring_classes import BoringModel
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fer.data.datamodule import FERDataModule
from fer.models.network import timm_network
from fer.reporting.tensorboard import RunLogger
from fer.reporting.training_figures import training_figure
from fer.training.callbacks import (
    ConfusionMatrix,
    EpochLines,
    LearningRates,
    ProgressLine,
    SampleImages,
    ScheduleFigure,
    Throughput,
)
from fer.training.freeze import FreezeSchedule
from fer.training.module import ExpressionModule

CLASSES = ["angry", "happy", "sad"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> tuple[Path, dict]:
    """Three epochs of two steps; the head alone trains in the first."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run")
    datamodule = FERDataModule(
        "ckplus", root=str(data_root), folds=5, image_size=32, batch_size=8, default_classes=CLASSES
    )
    datamodule.prepare_data()
    datamodule.setup()
    classifier = ExpressionModule(
        timm_network("test_resnet", num_classes=3, weights="none"),
        network_spec={},
        classes=datamodule.classes,
        image_size=32,
        mean=datamodule.mean,
        std=datamodule.std,
        freeze=FreezeSchedule([(0, 1), (1, "all")]),
    )
    callbacks = {
        "throughput": Throughput(),
        "lines": EpochLines(),
        "rates": LearningRates(),
        "schedule": ScheduleFigure(),
        "samples": SampleImages(count=4),
        "confusion": ConfusionMatrix(every_n_epochs=2),
    }
    logger = RunLogger(folder)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        limit_train_batches=2,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        logger=logger,
        callbacks=list(callbacks.values()),
        default_root_dir=str(folder),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    source = logging.getLogger("fer.training.callbacks")
    source.addHandler(handler)
    level = source.level
    source.setLevel(logging.INFO)
    trainer.fit(classifier, datamodule=datamodule)
    source.removeHandler(handler)
    source.setLevel(level)
    logger.experiment.flush()
    return folder, {**callbacks, "records": records}


@pytest.fixture(scope="module")
def shown(run: tuple[Path, dict]) -> EventAccumulator:
    return EventAccumulator(str(run[0] / "tensorboard"), {"scalars": 0, "images": 0}).Reload()


def test_a_stage_has_a_rate_while_it_trains(shown: EventAccumulator) -> None:
    assert [event.step for event in shown.Scalars("watch_learning_rate/head")] == [0, 1, 2, 3, 4, 5]
    assert [event.step for event in shown.Scalars("watch_learning_rate/stem")] == [2, 3, 4, 5]


def test_confusion_is_drawn_now_and_then_and_at_the_end(shown: EventAccumulator) -> None:
    pictures = shown.Images("view_1_training/validation_confusion_matrix")
    assert len(pictures) == 2  # after the second epoch and the last


def test_the_first_batch_is_shown_once_as_the_network_sees_it(shown: EventAccumulator) -> None:
    (picture,) = shown.Images("view_1_training/augmented_batch")
    assert picture.step == 0
    assert (picture.width, picture.height) == (4 * 34 + 2, 34 + 2)  # four faces of 32 pixels with lines between


def test_the_schedule_is_drawn_in_the_run_folder(run: tuple[Path, dict]) -> None:
    with Image.open(run[0] / "figures" / "schedule.png") as picture:
        assert min(picture.size) > 300
    assert "Learning rate and frozen stages" in (run[0] / "figures" / "schedule.svg").read_text()


def test_an_epoch_has_a_line_in_the_log(run: tuple[Path, dict]) -> None:
    lines = run[1]["records"]
    assert [line.split(":")[0] for line in lines] == ["epoch 0", "epoch 1", "epoch 2"]
    assert all(" loss " in line and "val loss" in line and line.endswith("left") for line in lines)
    assert all("val acc " in line and len(line) < 80 for line in lines)
    assert "0:00:00 left" in lines[-1]


def test_speed_is_the_median_of_the_epochs_but_the_first(run: tuple[Path, dict]) -> None:
    throughput = run[1]["throughput"]
    assert len(throughput.rates) == 3
    assert throughput.images_per_second in throughput.rates[1:]
    throughput.rates = [1000.0, 10.0, 30.0, 20.0]
    assert throughput.images_per_second == 20.0
    throughput.rates = [7.0]
    assert throughput.images_per_second == 7.0
    assert Throughput().images_per_second is None


def test_training_curves_mark_the_best_epoch_and_stand_missing_numbers() -> None:
    history = {
        0: {"train/loss": 2.0, "val/loss": 1.5, "val/accuracy": 0.3},
        1: {"train/loss": 1.0, "val/loss": 1.2, "val/accuracy": 0.6},
        2: {"val/loss": 1.3, "val/accuracy": 0.5},
    }
    loss, accuracy = training_figure(history, best_epoch=1).axes
    curves = {line.get_label(): line.get_xydata() for line in (*loss.lines, *accuracy.lines)}
    assert np.array_equal(curves["best epoch, 1: 1.200"], [[1, 1.2]])
    assert np.array_equal(curves["best epoch, 1: 60.0%"], [[1, 0.6]])
    assert [len(line.get_xdata()) for line in loss.lines][:2] == [2, 3]
    assert len(training_figure({}).axes) == 2


def test_progress_is_one_line_of_80_columns(tmp_path: Path) -> None:
    shown = io.StringIO()

    class Module(BoringModel):
        def on_validation_epoch_end(self) -> None:
            self.log("val/accuracy", 0.123, prog_bar=True)
            self.log("val/loss", 1.0, prog_bar=True)

    bar = ProgressLine(refresh_rate=1, console_kwargs={"file": shown, "width": 80, "force_terminal": True})
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    limits = {"max_epochs": 12, "limit_train_batches": 20, "limit_val_batches": 2}
    Trainer(**limits, **quiet, callbacks=[bar], default_root_dir=tmp_path).fit(Module())
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in re.split(r"[\r\n]", shown.getvalue())]
    lines = [line for line in lines if line]
    last = [line for line in lines if line.startswith("Epoch 11/11")][-1]
    assert "20/20" in last
    assert last.endswith("val accuracy: 12.3%")
    assert all(line.startswith(("Epoch", "Validation")) for line in lines)
    assert max(map(len, lines)) <= 80
