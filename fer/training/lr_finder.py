"""Learning-rate range test: train a copy for a few steps at ever higher rates, look where the loss falls.

L. N. Smith, Cyclical Learning Rates for Training Neural Networks (WACV 2017), section 3.3. Lightning's
`LearningRateFinder` (2.6) gives all parameter groups one rate, so that layer-wise learning rates are not tried as the
run will use them.
"""

import copy
import logging
import math
from dataclasses import dataclass

import numpy as np
import torch
from pytorch_lightning import Trainer

from fer.console import track
from fer.data.datamodule import FERDataModule
from fer.data.loader import DeviceLoader
from fer.device import autocast
from fer.errors import ConfigError
from fer.models.stages import build_optimizer, set_stage_lrs
from fer.reporting.figures import save_figure
from fer.reporting.training_figures import range_test_figure
from fer.runs.folder import RunFolder
from fer.training.freeze import apply_freeze
from fer.training.module import ExpressionModule

log = logging.getLogger(__name__)

SMOOTHING = 4.0  # steps, standard deviation
MIN_FALL = 0.005  # share of the first loss; a smaller fall is none
MAX_RISE = 4.0  # times the lowest loss, at which the test ends


@dataclass(frozen=True)
class RangeTest:
    """Losses of a range test."""

    rates: np.ndarray  # of the head, float64 [n], rising geometrically
    losses: np.ndarray  # float64 [n]

    @property
    def smoothed(self) -> np.ndarray:
        """Losses averaged over their neighbours with Gaussian weights, so that a fall is seen where it is."""
        steps = np.arange(len(self.losses))
        weights = np.exp(-0.5 * ((steps[:, None] - steps) / SMOOTHING) ** 2)
        return np.asarray(weights @ self.losses / weights.sum(axis=1))

    @property
    def fall(self) -> tuple[int, int] | None:
        """First and last step of the fall to the lowest loss; None where the loss never falls.

        It begins where the last tenth of the way down from the level before it is not yet gone.
        """
        smoothed = self.smoothed
        lowest = int(np.argmin(smoothed))
        level = float(np.median(smoothed[: lowest // 2 + 1]))
        depth = level - float(smoothed[lowest])
        if depth < MIN_FALL * level:
            return None
        before = np.flatnonzero(smoothed[: lowest + 1] > level - depth / 10)
        return (int(before[-1]) if len(before) else 0), lowest

    @property
    def steepest(self) -> float | None:
        """The rate at which the smoothed loss falls fastest; None where it never falls."""
        if self.fall is None:
            return None
        begin, lowest = self.fall
        return float(self.rates[begin + int(np.argmin(np.gradient(self.smoothed)[begin : lowest + 1]))])

    @property
    def valley(self) -> float | None:
        """The middle of the fall: high enough to learn, far from where the loss rises; None without a fall."""
        return None if self.fall is None else float(self.rates[sum(self.fall) // 2])


def range_test(
    classifier: ExpressionModule,
    loader: DeviceLoader,
    precision: str,
    epochs: int,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
) -> RangeTest:
    """Train a copy of the network, frozen as in epoch 0, with a rate that rises from step to step.

    Neither the classifier nor the random state changes. Each stage gets its own rate, as it will in the run.

    Args:
        classifier: on the loader's device.
        loader: of training batches.
        precision: one of Lightning's.
        epochs: of the run, for freeze schedules in fractions of it.
        lowest: first rate of the head.
        highest: last one.
        steps: how many rates.
    """
    device = loader.device
    network = copy.deepcopy(classifier.network).train()
    trainable = classifier.freeze_schedule.trainable_stages(0, classifier.stages, epochs)
    apply_freeze(network, classifier.stages, trainable)
    optimizer = build_optimizer(network, classifier.stages, classifier.optimizer, classifier.layerwise_lr)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "16-mixed")
    rates, losses = np.geomspace(lowest, highest, steps), []
    best = math.inf
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(classifier.seed)
        for step in track(range(steps), "learning-rate range test"):
            batch = loader.batch(*divmod(step, len(loader)))
            set_stage_lrs(optimizer, classifier.stages, classifier.layerwise_lr(rates[step], len(classifier.stages)))
            with autocast(device, precision):
                logits = network((batch.images - classifier.mean) / classifier.std).float()
                loss = classifier.loss(logits, batch.targets)
            value = float(loss.detach())
            if not math.isfinite(value) or (step > 10 and value > MAX_RISE * best):
                break
            losses.append(value)
            best = min(best, value)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    return RangeTest(rates[: len(losses)], np.array(losses))


def find_learning_rate(module: ExpressionModule, data: FERDataModule, trainer: Trainer, run: RunFolder) -> float:
    """The learning rate of the range test, which runs once in a run folder.

    Raises:
        ConfigError: several devices, or a loss that never falls.
    """
    found = run.read_found_lr()
    if found is not None:
        return found
    if trainer.world_size > 1:
        raise ConfigError("lr_find runs on one device: give trainer.devices=1 lr_find=only, then optimizer.lr=…")
    device = trainer.strategy.root_device
    test = range_test(module.to(device), data.train_loader(device), str(trainer.precision), trainer.max_epochs or 1)
    return chosen_learning_rate(test, run)


def chosen_learning_rate(test: RangeTest, run: RunFolder) -> float:
    """Write `lr_find.json` and `figures/lr_find.png`, and return the rate to use: the valley's.

    Raises:
        ConfigError: the loss never falls, so there is nothing to suggest.
    """
    if test.valley is None:
        raise ConfigError(
            f"lr_find: the loss never falls between learning rates {test.rates[0]:g} and {test.rates[-1]:g}; "
            "look at data, model.weights and freeze"
        )
    suggestions = {"steepest": test.steepest, "valley": test.valley}
    figure = range_test_figure(test.rates, test.losses, test.smoothed, suggestions)
    save_figure(figure, run.figures, "lr_find")
    run.write_lr_find(
        {"used": test.valley, **suggestions, "rates": test.rates.tolist(), "losses": test.losses.tolist()}
    )
    steepest = "none" if test.steepest is None else f"{test.steepest:.2e}"
    log.info("lr_find: valley %.2e, steepest %s; %s", test.valley, steepest, run.figures / "lr_find.png")
    return test.valley
