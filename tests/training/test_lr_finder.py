"""The range test: what it suggests, and that it leaves no trace."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from fer.errors import ConfigError
from fer.runs.folder import RunFolder
from fer.training.freeze import head_first
from fer.training.lr_finder import RangeTest, chosen_learning_rate, range_test
from fer.training.train import build_data, build_module, train

RATES = np.geomspace(1e-6, 1, 100)


def curve(*points: tuple[float, float]) -> RangeTest:
    """Losses that go straight from one (rate, loss) to the next, on a logarithmic axis."""
    at, losses = zip(*points, strict=True)
    return RangeTest(RATES, np.interp(np.log(RATES), np.log(at), losses))


def test_suggestions_lie_on_the_fall():
    test = curve((1e-6, 2.0), (1e-4, 2.0), (1e-2, 1.0), (1e-1, 1.0), (1, 3.0))
    assert 1e-4 < test.steepest < 2e-2
    assert 1e-4 < test.valley < 1e-1


def test_the_steepest_is_where_the_loss_falls_fastest():
    test = curve((1e-6, 2.0), (1e-4, 1.9), (1e-3, 1.0), (1e-1, 0.9), (1, 3.0))
    assert 1e-4 < test.steepest < 2e-3


def test_noise_does_not_move_the_suggestions():
    clean = curve((1e-6, 2.0), (1e-3, 2.0), (1e-1, 1.8), (1, 3.0))
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0, 0.03, len(RATES))
        noisy = RangeTest(RATES, clean.losses + noise)
        assert 3e-3 < noisy.valley < 6e-2, seed
        assert 8e-4 < noisy.steepest < 2e-1, seed


@pytest.mark.parametrize("losses", [np.linspace(1, 2, 100), np.full(100, 1.5)])
def test_where_the_loss_never_falls_nothing_is_suggested(losses):
    test = RangeTest(RATES, losses)
    assert test.steepest is None
    assert test.valley is None


def set_up(cfg: DictConfig):
    datamodule = build_data(cfg)
    return build_module(cfg, datamodule), datamodule.train_loader(torch.device("cpu"))


def test_it_leaves_everything_as_it_was(tiny_config: Callable[..., DictConfig]) -> None:
    classifier, loader = set_up(tiny_config("module.ema_decay=0.9"))
    before, generator = copy.deepcopy(classifier.state_dict()), torch.get_rng_state()
    modes = {name: module.training for name, module in classifier.named_modules()}
    found = range_test(classifier, loader, "32-true", epochs=3, steps=15)
    assert len(found.losses) == len(found.rates) > 5
    assert all(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert {name: module.training for name, module in classifier.named_modules()} == modes
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_it_trains_what_the_run_will_train_first(tiny_config: Callable[..., DictConfig]) -> None:
    """With the head alone, rates far too high for the whole network still leave the loss finite."""
    cfg = tiny_config("freeze=head_first")
    classifier, loader = set_up(cfg)
    frozen = range_test(classifier, loader, "32-true", epochs=3, steps=20, lowest=1e-4)
    classifier.freeze_schedule = head_first(1)
    same = range_test(classifier, loader, "32-true", epochs=3, steps=20, lowest=1e-4)
    assert np.array_equal(frozen.losses, same.losses)
    classifier.freeze_schedule = type(classifier.freeze_schedule)()
    everything = range_test(classifier, loader, "32-true", epochs=3, steps=20, lowest=1e-4)
    assert frozen.losses[0] != everything.losses[0]  # BatchNorm of frozen stages does not see the batch
    assert not np.array_equal(frozen.losses[:5], everything.losses[:5])


class Flat(nn.Module):
    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return logits.sum() * 0 + 1.0


def test_nothing_to_suggest_is_one_line(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    classifier, loader = set_up(tiny_config())
    classifier.loss = Flat()
    with pytest.raises(ConfigError, match="never falls"):
        chosen_learning_rate(range_test(classifier, loader, "32-true", epochs=3, steps=20), RunFolder(tmp_path))


def test_alone_it_writes_its_curve_and_trains_nothing(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    assert train(tiny_config("lr_find=only"), tmp_path / "run") is None
    found = json.loads((tmp_path / "run" / "lr_find.json").read_text())
    assert found["used"] == found["valley"]
    assert len(found["rates"]) == len(found["losses"])
    assert (tmp_path / "run" / "figures" / "lr_find.png").stat().st_size > 1000
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_ahead_of_a_run_it_sets_the_rate(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    """And nothing else: the run equals one that is given that rate."""
    short = ("trainer.max_epochs=1", "trainer.limit_train_batches=3", "data.batch_size=16")
    found = train(tiny_config("lr_find=true", *short), tmp_path / "found")
    rate = json.loads((tmp_path / "found" / "lr_find.json").read_text())["used"]
    given = train(tiny_config(f"optimizer.lr={rate}", *short), tmp_path / "given")
    assert found is not None
    assert given is not None
    assert found["val/nll"] == given["val/nll"]
    states = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("found", "given")
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert OmegaConf.load(tmp_path / "found" / "config.yaml").lr_find is True
    assert f"AdamW, lr {rate}" in (tmp_path / "found" / "report.html").read_text()
