"""What a run does and leaves behind."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from readings import DETERMINISTIC, events
from torch import nn

from fer.data.datamodule import FERDataModule
from fer.errors import FERError
from fer.evaluation.predict_split import collect
from fer.models.load import load_classifier
from fer.training.train import build_data, build_module, train
from tests.composing import composed
from tests.conftest import NOT_IN_EVERY_RUN

CONTRACT = {
    *(
        f"{split}/{name}"
        for split in ("val", "test")
        for name in (
            "accuracy",
            "accuracy_ci95",
            "accuracy_deduplicated",
            "macro_f1",
            "balanced_accuracy",
            "nll",
            "ece",
            "ece_calibrated",
        )
    ),
    "best_epoch",
    "parameters",
    "macs",
    "train_images_per_second",
    "train_seconds",
    "peak_memory_bytes",
}


@pytest.fixture(scope="module")
def complete(tiny_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The folder and the metrics of a run with all that runs do by default."""
    folder = tmp_path_factory.mktemp("complete") / "run"
    given = [each for each in tiny_overrides if each not in NOT_IN_EVERY_RUN]
    metrics = train(composed("train", *given, "figures=true", "trainer.max_epochs=1"), folder)
    assert metrics is not None
    return folder, metrics


def test_the_run_folder_holds_what_the_design_promises(complete: tuple[Path, dict]) -> None:
    folder, metrics = complete
    assert set(metrics) >= CONTRACT
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    for name in ("confusion_matrix", "top_losses", "predictions", "reliability"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 1000
    assert json.loads((folder / "calibration.json").read_text())["temperature"] > 0
    for name in ("best", "last"):
        checkpoint = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert any(key.startswith("network.") for key in checkpoint["state_dict"])


def test_predictions_agree_with_the_metrics(finished: tuple[Path, dict]) -> None:
    folder, metrics = finished
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == metrics["test/images"] == 42
    right = np.mean([row["label"] == row["predicted"] for row in rows])
    assert right == pytest.approx(metrics["test/accuracy"])
    assert np.mean([float(row["loss"]) for row in rows]) == pytest.approx(metrics["test/nll"], rel=1e-4)
    assert all(row["name"].startswith("test/") for row in rows)


def test_the_best_checkpoint_is_what_was_tested(finished: tuple[Path, dict], tiny_config: Callable) -> None:
    folder, metrics = finished
    cfg = tiny_config()
    arguments = {key: value for key, value in cfg.data.items() if key != "_target_"}
    datamodule = FERDataModule(**OmegaConf.to_container(OmegaConf.create(arguments)))
    datamodule.prepare_data()
    datamodule.setup()
    classifier = load_classifier(folder)
    predictions = collect(classifier, datamodule.eval_loader("test", torch.device("cpu")), "32-true", "test")
    right = (predictions.logits.argmax(1) == predictions.labels).mean()
    assert right == pytest.approx(metrics["test/accuracy"])


def test_training_learns(finished: tuple[Path, dict]) -> None:
    folder, _ = finished
    losses = [event.value for event in events(folder).Scalars("train/loss")]
    assert len(losses) == 3
    assert losses[-1] < losses[0]


def test_tensorboard_shows_the_run(complete: tuple[Path, dict]) -> None:
    folder, metrics = complete
    shown = events(folder)
    scalars = set(shown.Tags()["scalars"])
    assert {f"{split}/{name}" for split in ("train", "val") for name in ("loss", "accuracy", "macro_f1")} <= scalars
    assert {"watch_learning_rate/stem", "watch_learning_rate/head", "watch_throughput/images_per_second"} <= scalars
    pictures = {"view_1_training/augmented_batch", "view_1_training/validation_confusion_matrix"}
    pictures |= {"view_2_results/01_confusion_matrix", "view_2_results/08_gradcam"}
    assert pictures <= set(shown.Tags()["images"])
    assert (folder / "report.html").stat().st_size > 100_000
    assert shown.Scalars("view_2_results/test_accuracy")[-1].value == pytest.approx(metrics["test/accuracy"])
    assert "_hparams_/experiment" in shown.summary_metadata
    assert "hp_metric" not in scalars


def test_a_run_repeats_from_its_config(finished: tuple[Path, dict], tmp_path: Path) -> None:
    folder, metrics = finished
    again = train(OmegaConf.load(folder / "config.yaml"), tmp_path / "again")
    assert again is not None
    assert {name: again[name] for name in DETERMINISTIC} == {name: metrics[name] for name in DETERMINISTIC}


class OwnNetwork(nn.Module):
    """What a user might bring: any module of `num_classes` and `in_chans`."""

    def __init__(self, num_classes: int, in_chans: int, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(in_chans, width, 3, stride=4), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images).mean(dim=(2, 3)))


def test_any_module_trains_by_its_target(tiny_config: Callable, tmp_path: Path) -> None:
    cfg: DictConfig = tiny_config("trainer.max_epochs=1")
    cfg.model = {"_target_": f"{__name__}.OwnNetwork", "width": 6}
    metrics = train(cfg, tmp_path / "own")
    assert metrics is not None
    assert metrics["parameters"] == sum(p.numel() for p in OwnNetwork(7, 1, 6).parameters())
    classifier = load_classifier(tmp_path / "own", network=OwnNetwork(7, 1, 6))
    assert classifier.classes == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def test_a_checkpoint_starts_another_run(finished: tuple[Path, dict], tiny_config: Callable, tmp_path: Path) -> None:
    folder, metrics = finished
    started = train(tiny_config(f"model.weights={folder}", "optimizer.lr=0", "trainer.max_epochs=1"), tmp_path / "t")
    assert started is not None
    # Nothing was learnt at rate 0; only BatchNorm statistics moved.
    assert started["parameters"] == metrics["parameters"]
    best, first = (load_classifier(path).state_dict() for path in (folder, tmp_path / "t"))
    learnt = [key for key in best if key.endswith("weight") and key.startswith("network.")]
    assert learnt
    assert all(torch.equal(best[key], first[key]) for key in learnt)


def test_a_head_for_other_classes_is_not_taken_over(
    finished: tuple[Path, dict], tiny_config: Callable, tmp_path: Path
) -> None:
    folder, _ = finished
    turned = "data.classes=[neutral,surprise,sad,happy,fear,disgust,angry]"
    heads = {}
    for name, override in (("same", "seed=1"), ("turned", turned)):
        cfg = tiny_config(f"model.weights={folder}", override, "seed=1")
        heads[name] = build_module(cfg, build_data(cfg)).network.get_classifier().weight
    best = load_classifier(folder).network.get_classifier().weight
    assert torch.equal(heads["same"], best)
    assert not torch.equal(heads["turned"], best)


def test_a_run_stops_early_where_validation_no_longer_improves(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    patience = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1", "trainer.max_epochs=9")
    cfg = tiny_config(*patience, "optimizer=sgd", "optimizer.lr=0")  # nothing ever improves
    metrics = train(cfg, tmp_path / "run")
    assert metrics is not None
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    stopped = torch.load(last, weights_only=True)["epoch"]
    assert stopped < 8
    (tmp_path / "run" / "metrics.json").unlink()  # as if the process had died before the test
    assert train(cfg, tmp_path / "run") is not None
    assert torch.load(last, weights_only=True)["epoch"] == stopped
    (tmp_path / "run" / "metrics.json").unlink()
    train(
        tiny_config(*patience, "callbacks.early_stopping.patience=2", "optimizer=sgd", "optimizer.lr=0"),
        tmp_path / "run",
    )
    assert torch.load(last, weights_only=True)["epoch"] == stopped + 1


@pytest.mark.parametrize(
    ("short", "told"),
    [
        ("trainer.limit_train_batches=0.01", "limit_train_batches=0.01 leaves no batch"),
        ("+trainer.max_steps=2", "no epoch of .* was validated"),
    ],
)
def test_a_run_that_is_too_short_is_one_line(
    short: str, told: str, tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    with pytest.raises(FERError, match=told):
        train(tiny_config(short), tmp_path)


def test_the_report_says_what_the_epoch_was_selected_by(
    tiny_config: Callable[..., DictConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = ("callbacks.best.monitor=val/loss", "callbacks.best.mode=min", "callbacks.best.tie=null")
    with caplog.at_level("INFO"):
        train(tiny_config(*chosen, "trainer.max_epochs=1"), tmp_path)
    assert "0 (the first is 0), by validation loss<" in (tmp_path / "report.html").read_text()
    assert "(best" not in caplog.text  # which would be a loss in per cent


@pytest.mark.parametrize(
    "remedy",
    [
        ["loss=focal", "trainer.log_every_n_steps=0"],
        ["loss=weighted", "mix=cutmix", "mix.probability=1"],
        ["data.balanced=true", "module.ema_decay=0.9", "trainer.gradient_clip_val=1"],
        ["trainer.gradient_clip_val=1", "trainer.precision=bf16-mixed"],  # a fused optimizer that may not be fused
        ["trainer.accumulate_grad_batches=2", "model.backbone=test_efficientnet", "model.drop_path_rate=0.1"],
        ["optimizer=sgd", "scheduler=cosine", "rates=layer_decay", "freeze=gradual", "freeze.every=1"],
    ],
    ids=" ".join,
)
def test_every_remedy_trains(remedy: list[str], tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    schedule = "callbacks.schedule={_target_:fer.training.callbacks.ScheduleFigure}"  # a second: not for each
    drawn = [schedule] if "scheduler=cosine" in remedy else []
    short = ("trainer.max_epochs=2", "trainer.limit_train_batches=3")
    metrics = train(tiny_config(*short, *drawn, *remedy), tmp_path / "run")
    assert metrics is not None
    losses = [event.value for event in events(tmp_path / "run").Scalars("train/loss")]
    assert len(losses) == 2
    assert all(np.isfinite(losses))
    assert not drawn or (tmp_path / "run" / "figures" / "schedule.png").stat().st_size > 1000
