"""Learning-rate schedules: pure functions of the step, as factors of each stage's own rate."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytorch_lightning import Trainer

from fer.errors import ConfigError


@dataclass(frozen=True)
class OneCycle:
    """Up and down by cosines (Smith & Topin 2018, as in fastai).

    Args:
        warmup: fraction of the run that rises.
        start: first factor.
        end: last factor.
    """

    warmup: float = 0.25
    start: float = 0.04
    end: float = 1e-4

    def __post_init__(self) -> None:
        _check_warmup(self.warmup)

    def __call__(self, step: int, total_steps: int) -> float:
        position = _position(step, total_steps)
        if position < self.warmup:
            return _cosine(self.start, 1.0, position / self.warmup)
        return _cosine(1.0, self.end, (position - self.warmup) / (1 - self.warmup) if self.warmup < 1 else 1.0)


@dataclass(frozen=True)
class Cosine:
    """A linear rise, then a cosine down (Loshchilov & Hutter 2017).

    Args:
        warmup: fraction of the run that rises.
        end: last factor.
    """

    warmup: float = 0.05
    end: float = 0.0

    def __post_init__(self) -> None:
        _check_warmup(self.warmup)

    def __call__(self, step: int, total_steps: int) -> float:
        position = _position(step, total_steps)
        if position < self.warmup:
            return (step + 1) / (self.warmup * max(total_steps - 1, 1) + 1)
        return _cosine(1.0, self.end, (position - self.warmup) / (1 - self.warmup) if self.warmup < 1 else 1.0)


@dataclass(frozen=True)
class Constant:
    """The base rate from the first step to the last."""

    def __call__(self, step: int, total_steps: int) -> float:
        return 1.0


@dataclass(frozen=True)
class LearningRateSchedule:
    """The learning rate of every stage at every step, with a whole cycle for each phase of the freeze schedule.

    With one cycle over the run, stages that are unfrozen late would train at its low end only.

    Args:
        highest: stage -> its highest learning rate.
        cycle: (step, steps of the phase) -> factor.
        starts: first step of each phase, from 0, rising.
        total_steps: optimizer steps of the whole run.
    """

    highest: Mapping[str, float]
    cycle: Callable[[int, int], float]
    starts: Sequence[int]
    total_steps: int

    def factor(self, step: int) -> float:
        phase = bisect_right(self.starts, step) - 1
        start = self.starts[phase]
        end = self.starts[phase + 1] if phase + 1 < len(self.starts) else self.total_steps
        return self.cycle(step - start, end - start)

    def __call__(self, step: int, stage: str) -> float:
        return self.highest[stage] * self.factor(step)


def planned_steps(trainer: Trainer) -> tuple[int, int]:
    """Optimizer steps of an epoch, and of the whole run.

    The Trainer's own `estimated_stepping_batches` sets the loaders up before a checkpoint is read, after which
    Lightning no longer gives them their positions back: a run resumed within an epoch would see images twice.

    Raises:
        ConfigError: none at all.
    """
    datamodule = getattr(trainer, "datamodule", None)
    if datamodule is None or trainer.max_epochs in (None, -1):
        total = int(trainer.estimated_stepping_batches)
        return -(-total // max(1, trainer.max_epochs or 1)), total
    epoch_steps = -(-planned_batches(trainer) // trainer.accumulate_grad_batches)
    total = epoch_steps * trainer.max_epochs
    return epoch_steps, total if trainer.max_steps == -1 else min(total, trainer.max_steps)


def planned_batches(trainer: Trainer) -> int:
    """Training batches of an epoch, on this rank.

    Raises:
        ConfigError: none at all.
    """
    batches, limit = len(trainer.datamodule.train_dataloader()), trainer.limit_train_batches  # type: ignore[attr-defined]
    if limit is not None:
        batches = int(batches * limit) if isinstance(limit, float) else min(batches, limit)
    if not batches:
        raise ConfigError(f"trainer.limit_train_batches={limit} leaves no batch to train on")
    return batches


def _check_warmup(warmup: float) -> None:
    if not 0 <= warmup <= 1:
        raise ConfigError(f"scheduler.warmup={warmup}: give the fraction of the run that rises, from 0 to 1")


def _position(step: int, total_steps: int) -> float:
    """0 at the first step, 1 at the last."""
    return min(step / max(total_steps - 1, 1), 1.0)


def _cosine(start: float, end: float, position: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * position)) / 2
