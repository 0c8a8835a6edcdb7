import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from fer.data.datamodule import FERDataModule
from fer.errors import ConfigError, RunError, WeightsError
from fer.evaluation.predict import collect
from fer.model.load import load_classifier
from fer.training import run as run_module
from fer.training.run import train

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
DETERMINISTIC = ("val/accuracy", "val/nll", "test/accuracy", "test/nll", "test/ece", "best_epoch")


@pytest.fixture(scope="module")
def finished(tiny_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    from hydra import compose, initialize_config_dir

    from fer.cli import CONF, register_resolvers

    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*tiny_overrides, "figures=true"])
    folder = tmp_path_factory.mktemp("run") / "run"
    metrics = train(cfg, folder)
    assert metrics is not None
    return folder, metrics


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return accumulator.Reload()


def test_the_run_folder_holds_what_the_design_promises(finished: tuple[Path, dict]) -> None:
    folder, metrics = finished
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


def test_tensorboard_shows_the_run(finished: tuple[Path, dict]) -> None:
    folder, metrics = finished
    shown = events(folder)
    scalars = set(shown.Tags()["scalars"])
    assert {f"{split}/{name}" for split in ("train", "val") for name in ("loss", "accuracy", "macro_f1")} <= scalars
    assert {"learning_rate/stem", "learning_rate/head", "throughput/images_per_second"} <= scalars
    pictures = {"view_1_training/augmented_batch", "view_1_training/validation_confusion_matrix"}
    pictures |= {"view_2_results/01_confusion_matrix", "view_2_results/08_gradcam"}
    assert pictures <= set(shown.Tags()["images"])
    assert (folder / "report.html").stat().st_size > 100_000
    assert shown.Scalars("result/test_accuracy")[-1].value == pytest.approx(metrics["test/accuracy"])
    assert "_hparams_/experiment" in shown.summary_metadata
    assert "hp_metric" not in scalars


def test_a_run_repeats_from_its_config(finished: tuple[Path, dict], tmp_path: Path) -> None:
    folder, metrics = finished
    again = train(OmegaConf.load(folder / "config.yaml"), tmp_path / "again")
    assert again is not None
    assert {name: again[name] for name in DETERMINISTIC} == {name: metrics[name] for name in DETERMINISTIC}


def test_a_finished_folder_is_not_overwritten(finished: tuple[Path, dict], tiny_config: Callable) -> None:
    folder, _ = finished
    before = (folder / "metrics.json").read_bytes()
    with pytest.raises(RunError, match="finished"):
        train(tiny_config(), folder)
    assert (folder / "metrics.json").read_bytes() == before


class _Killed(Exception):
    pass


class _KillAt(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, module) -> None:  # type: ignore[no-untyped-def]
        if trainer.current_epoch == self.epoch:
            raise _Killed


def test_a_resumed_run_equals_the_uninterrupted_one(
    finished: tuple[Path, dict], tiny_config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_folder, whole = finished
    folder = tmp_path / "killed"
    original = run_module.build_callbacks
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "build_callbacks", lambda cfg, where: [*original(cfg, where), _KillAt(2)])
        with pytest.raises(_Killed):
            train(tiny_config(), folder)
    assert not (folder / "metrics.json").exists()
    resumed = train(tiny_config(f"resume={folder}"), folder, [f"resume={folder}"])
    assert resumed is not None
    assert {name: resumed[name] for name in DETERMINISTIC} == {name: whole[name] for name in DETERMINISTIC}
    states = [
        torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for path in (whole_folder, folder)
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_resuming_says_what_it_cannot_do(finished: tuple[Path, dict], tiny_config: Callable, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no .*last\.ckpt"):
        train(tiny_config(f"resume={tmp_path}"), tmp_path)
    folder, _ = finished
    for name in ("config.yaml", "checkpoints"):
        (tmp_path / name).symlink_to(folder / name)
    with pytest.raises(RunError, match="keeps its model"):
        train(tiny_config(f"resume={tmp_path}"), tmp_path, ["model=resnet50"])


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


@pytest.mark.parametrize(
    ("overrides", "error", "says"),
    [
        (["data.root=/nowhere", "data.source=null"], "DataError", "prepare.py"),
        (["trainer.max_epochs=many"], "ConfigError", "trainer.max_epochs=many"),
        (["trainer.max_epochs=0"], "ConfigError", "trainer.max_epochs=0"),
        (["trainer.precision=bf17"], "ConfigError", "bf17"),
        (["data.batch_size=0"], "ConfigError", "batch_size=0"),
        (["data.classes=[happy,contempt]"], "DataError", "contempt"),
        (["data.folds=10"], "DataError", "no subject"),
        (["model.backbone=resnet81"], "ConfigError", "resnet81"),
        (["model.weights=nowhere.safetensors"], "WeightsError", "nowhere"),
        (["optimizer.lr=fast"], "ConfigError", "optimizer.lr=fast"),
        (["optimizer._target_=torch.optim.Adamw"], "ConfigError", "Adamw"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(
    overrides: list[str], error: str, says: str, tiny_config: Callable, tmp_path: Path
) -> None:
    from fer import errors

    with pytest.raises(getattr(errors, error), match=says) as raised:
        train(tiny_config(*overrides), tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert len(str(raised.value)) < 500


def test_gpu_that_is_not_there(tiny_config: Callable, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="no CUDA GPU"):
        train(tiny_config("trainer=gpu"), tmp_path / "run")


def test_imagenet_weights_without_cache_or_network(
    tiny_config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"three ways out.*model\.weights=PATH.*model\.weights=none"):
        train(tiny_config("model.weights=imagenet"), tmp_path / "run")


def test_a_head_for_other_classes_is_not_taken_over(
    finished: tuple[Path, dict], tiny_config: Callable, tmp_path: Path
) -> None:
    folder, _ = finished
    turned = "data.classes=[neutral,surprise,sad,happy,fear,disgust,angry]"
    heads = {}
    for name, override in (("same", "seed=1"), ("turned", turned)):
        cfg = tiny_config(f"model.weights={folder}", override, "seed=1")
        datamodule = run_module.build(cfg.data, "data")
        datamodule.prepare_data()
        datamodule.setup()
        heads[name] = run_module.build_classifier(cfg, datamodule).network.get_classifier().weight
    best = load_classifier(folder).network.get_classifier().weight
    assert torch.equal(heads["same"], best)
    assert not torch.equal(heads["turned"], best)


@pytest.mark.parametrize("schedule", ["linear_probe", "head_first", "gradual", "partial"])
def test_a_schedule_freezes_what_it_says_for_as_long_as_it_says(
    schedule: str, finished: tuple[Path, dict], tiny_config: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, _ = finished
    cfg = tiny_config(f"model.weights={source}", f"freeze={schedule}", "trainer.max_epochs=4")
    with caplog.at_level("INFO"):
        assert train(cfg, tmp_path / schedule) is not None
    before = load_classifier(source).network.state_dict()
    after = torch.load(tmp_path / schedule / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    moved = {key.split(".")[0] for key in before if not torch.equal(before[key], after[f"network.{key}"])}
    everything = {key.split(".")[0] for key in before}
    expected = {"linear_probe": {"fc"}, "partial": {"fc", "layer4", "layer3"}}.get(schedule, everything)
    assert moved == expected
    assert "epoch 0 trains" in caplog.text
    counts = [event.value for event in events(tmp_path / schedule).Scalars("schedule/trainable_parameters")]
    assert len(counts) == 4
    assert counts == sorted(counts)
    assert (counts[0] < counts[-1]) == (schedule in ("head_first", "gradual"))


def test_frozen_random_weights_are_warned_of(
    tiny_config: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tiny_config("freeze=linear_probe", "trainer.max_epochs=1"), tmp_path / "run")
    assert "freezes random weights" in caplog.text


def test_a_run_resumed_after_a_freeze_change_equals_the_uninterrupted_one(
    finished: tuple[Path, dict], tiny_config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = finished
    options = (f"model.weights={source}", "freeze=head_first", "freeze.epochs=1")
    train(tiny_config(*options), tmp_path / "whole")
    folder = tmp_path / "killed"
    original = run_module.build_callbacks
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "build_callbacks", lambda cfg, where: [*original(cfg, where), _KillAt(2)])
        with pytest.raises(_Killed):
            train(tiny_config(*options), folder)
    train(tiny_config(*options, f"resume={folder}"), folder, [f"resume={folder}"])
    whole, resumed = (
        torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for path in (tmp_path / "whole", folder)
    )
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_a_run_stops_early_where_validation_no_longer_improves(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    patience = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1", "trainer.max_epochs=9")
    cfg = tiny_config(*patience, "optimizer=sgd", "optimizer.lr=0")  # nothing ever improves
    metrics = train(cfg, tmp_path / "run")
    assert metrics is not None
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] < 8


@pytest.mark.parametrize(
    "remedy",
    [
        ["loss=focal"],
        ["loss=weighted", "mix=cutmix", "mix.probability=1"],
        ["data.balanced=true", "module.ema_decay=0.9", "trainer.gradient_clip_val=1"],
        ["trainer.accumulate_grad_batches=2", "model.backbone=test_efficientnet", "model.drop_path_rate=0.1"],
        ["optimizer=sgd", "scheduler=cosine", "rates=layer_decay", "freeze=gradual", "freeze.every=1"],
    ],
    ids=" ".join,
)
def test_every_remedy_trains(remedy: list[str], tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    cfg = tiny_config("trainer.max_epochs=2", *remedy)
    metrics = train(cfg, tmp_path / "run")
    assert metrics is not None
    losses = [event.value for event in events(tmp_path / "run").Scalars("train/loss")]
    assert len(losses) == 2
    assert all(np.isfinite(losses))
    assert (tmp_path / "run" / "figures" / "schedule.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_compiled_network_freezes_and_thaws_as_an_eager_one(
    finished: tuple[Path, dict], tiny_config: Callable, tmp_path: Path
) -> None:
    source, _ = finished
    options = (f"model.weights={source}", "freeze=gradual", "freeze.every=1", "module.ema_decay=0.9")
    for compiled in ("false", "true"):
        assert train(tiny_config(*options, f"module.compile={compiled}"), tmp_path / compiled) is not None
    eager, compiled = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("false", "true")
    )
    assert eager.keys() == compiled.keys()
    before = load_classifier(source).network.state_dict()
    frozen = [key for key in before if key.startswith(("conv1", "layer1"))]  # thawed in the fourth epoch, of three
    assert frozen
    assert all(torch.equal(compiled[f"network.{key}"], before[key]) for key in frozen)
    assert all(torch.allclose(eager[key], compiled[key], rtol=0.05, atol=0.02) for key in eager if "num_" not in key)
