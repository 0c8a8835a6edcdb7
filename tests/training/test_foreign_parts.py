"""Losses, schedulers and networks of torch, torchvision and one's own, each by its `_target_` alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from fer.errors import ConfigError
from fer.evaluation.trained_model import load_trained
from fer.models.network import build_network
from fer.runs.folder import RunFolder
from fer.training.loggers import build_loggers
from fer.training.train import build_data, build_module, train


@pytest.mark.parametrize(
    ("loss", "mix"),
    [
        ({"_target_": "torch.nn.CrossEntropyLoss"}, "mixup"),
        ({"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.1}, "none"),
        ({"_target_": "torch.nn.MultiMarginLoss", "margin": 0.5}, "none"),
    ],
)
def test_a_loss_of_torch_takes_no_argument_of_ours(
    loss: dict, mix: str, tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    cfg = tiny_config("trainer.max_epochs=1", "trainer.limit_train_batches=2", f"mix={mix}")
    cfg.loss = loss
    assert train(cfg, tmp_path) is not None


def test_a_loss_with_a_state_leaves_the_checkpoint_readable(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    cfg = tiny_config("trainer.max_epochs=1")
    weight = {"_target_": "torch.tensor", "data": [1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]}
    cfg.loss = {"_target_": "torch.nn.CrossEntropyLoss", "weight": weight}
    metrics = train(cfg, tmp_path)
    assert metrics is not None
    assert load_trained(tmp_path).classifier.classes


@pytest.mark.parametrize(
    ("loss", "mix", "says"),
    [
        (
            {"_target_": "torch.nn.MultiMarginLoss"},
            "mixup",
            "MultiMarginLoss does not take the share .*mix=none",
        ),
        ({"_target_": "torch.nn.CrossEntropyLoss", "reduction": "none"}, "none", "reduction=mean"),
        ({"_target_": "torch.nn.BCEWithLogitsLoss"}, "none", "BCEWithLogitsLoss does not take logits"),
        ({"_target_": "torch.nn.CrossEntropyLoss", "smoothing": 0.1}, "none", "loss: .*smoothing"),
    ],
)
def test_a_loss_that_does_not_fit_is_one_line(
    loss: dict, mix: str, says: str, tiny_config: Callable[..., DictConfig]
) -> None:
    cfg = tiny_config(f"mix={mix}")
    cfg.loss = loss
    with pytest.raises(ConfigError, match=says) as raised:
        build_module(cfg, build_data(cfg))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("scheduler", "lrs"),
    [
        ({"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "gamma": 0.1}, [3e-3, 3e-4, 3e-5]),
        (  # no loss is low enough to count as better than the first: each epoch after it lowers the rate
            {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "patience": 0, "threshold": 0.9999},
            [3e-3, 3e-3, 3e-4],
        ),
    ],
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_scheduler_of_torch_counts_epochs(
    scheduler: dict, lrs: list[float], accumulate: int, tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    lrs_into = f"+callbacks.lrs={{_target_:readings.LearningRatesOfEpochs,file:{tmp_path / 'lrs'}}}"
    for epochs in (1, 3):  # three epochs, the latter two resumed
        short = (f"trainer.max_epochs={epochs}", "trainer.limit_train_batches=3")
        cfg = tiny_config(*short, f"trainer.accumulate_grad_batches={accumulate}", lrs_into)
        cfg.scheduler = {**scheduler, "_partial_": True}
        assert train(cfg, tmp_path / "run") is not None
        (tmp_path / "run" / "metrics.json").unlink()
    assert [float(line) for line in (tmp_path / "lrs").read_text().splitlines()] == pytest.approx(lrs)


def test_a_scheduler_of_torch_that_lacks_an_argument_is_one_line(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    cfg = tiny_config()
    cfg.scheduler = {"_target_": "torch.optim.lr_scheduler.StepLR", "_partial_": True}
    with pytest.raises(ConfigError, match=r"scheduler: .*step_size"):
        train(cfg, tmp_path)


class Small(nn.Module):
    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(in_chans, 4, 3, stride=4)
        self.head = nn.Linear(4, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images).mean(dim=(2, 3)))


def any_keyword(**options: int) -> nn.Module:
    return Small(**options)


@pytest.mark.parametrize("target", ["Small", "any_keyword"])
@pytest.mark.parametrize("said", [{}, {"weights": "none"}])
def test_a_network_of_ones_own_needs_to_know_nothing_of_weights(target: str, said: dict) -> None:
    """Experiments set `model.weights=none` of any network."""
    if target == "any_keyword" and said:
        pytest.skip("who takes any keyword is given it")
    model = OmegaConf.create({"_target_": f"{__name__}.{target}", **said})
    assert build_network(model, ["happy", "sad"], 3)(torch.rand(2, 3, 9, 9)).shape == (2, 2)


def test_a_logger_that_takes_any_keyword_gets_its_place_alone(tmp_path: Path) -> None:
    cfg = OmegaConf.create({"logger": {"own": {"_target_": "pytorch_lightning.loggers.TensorBoardLogger"}}})
    own, _ = build_loggers(cfg, RunFolder(tmp_path))
    own.log_metrics({"val/accuracy": 0.5}, step=1)  # opens its file, which takes no argument of ours
    assert own.save_dir == str(tmp_path)
