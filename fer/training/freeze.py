"""Which stages learn at which epoch: a pure function of the epoch, so a resumed run needs no memory of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fer.epochs import is_start, schedule, schedule_value
from fer.errors import ConfigError
from fer.models.stages import Stage

MAX_GRADUAL_STAGES = 12  # those beyond join at once


@dataclass(frozen=True)
class FreezeSchedule:
    """Stages trained from given epochs on, counted from the head, so that it serves any network.

    Args:
        trainable: start -> number of stages from the head that train from then on, or `all` (a mapping, or the pairs
            that configs give). A start is an epoch, or,
            as a number between 0 and 1, a fraction of the run; an entry for epoch 0 must be there.

    Raises:
        ConfigError: no entry for epoch 0, another key that is no start, or a count under 1.
    """

    trainable: Mapping[int | float, int | Literal["all"]] = field(default_factory=lambda: {0: "all"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "trainable", schedule("freeze.trainable", self.trainable))
        if any(count != "all" and (not isinstance(count, int) or count < 1) for count in self.trainable.values()):
            raise ConfigError(f"freeze.trainable={dict(self.trainable)}: give counts of 1 or more, or all")

    @property
    def freezes(self) -> bool:
        """Whether anything is ever frozen."""
        return any(count != "all" for count in self.trainable.values())

    def trainable_stages(self, epoch: int, stages: Sequence[Stage], epochs: int = 1) -> list[Stage]:
        """The stages that train in an epoch, in the network's order.

        Args:
            epoch: from 0.
            stages: of the network, from stem to head.
            epochs: of the whole run, for starts that are fractions of it.
        """
        count = schedule_value(self.trainable, epoch, epochs)
        return list(stages) if count == "all" else list(stages[-int(count) :])

    def phases(self, stages: Sequence[Stage], epochs: int) -> list[tuple[int, list[Stage]]]:
        """First epoch and trained stages of each span of the run in which the same stages train."""
        found: list[tuple[int, list[Stage]]] = []
        for epoch in range(epochs):
            trained = self.trainable_stages(epoch, stages, epochs)
            if not found or found[-1][1] != trained:
                found.append((epoch, trained))
        return found


def head_first(epochs: int | float = 1) -> FreezeSchedule:
    """The head alone for some epochs (or a fraction of the run), then everything."""
    _check("epochs", epochs)
    return FreezeSchedule({0: 1, epochs: "all"})


def gradual(every: int | float = 0.1) -> FreezeSchedule:
    """The head, then one more stage from the top every few epochs, or every fraction of the run.

    Howard & Ruder, Universal Language Model Fine-tuning (ACL 2018), section 3.3. Stages beyond
    `MAX_GRADUAL_STAGES` join at once.
    """
    _check("every", every)
    fits = MAX_GRADUAL_STAGES if isinstance(every, int) else math.ceil(round(1 / every, 6)) - 1
    steps = min(MAX_GRADUAL_STAGES, max(1, fits))
    starts: dict[int | float, int | Literal["all"]] = {round(every * step, 9): 1 + step for step in range(1, steps)}
    return FreezeSchedule({0: 1, **starts, round(every * steps, 9): "all"})


def _check(name: str, start: int | float) -> None:
    if not start or not is_start(start):
        raise ConfigError(f"freeze.{name}={start}: give epochs (a whole number from 1) or a fraction of the run")


def apply_freeze(network: nn.Module, stages: Sequence[Stage], trainable: Sequence[Stage]) -> None:
    """Train just the given stages: no gradient for the others, and their BatchNorm statistics stay as they are.

    A frozen parameter's gradient is dropped, for a stale one would still move it in the next step.
    """
    names = {name for stage in trainable for name in stage.parameters}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in names)
        if name not in names:
            parameter.grad = None
    learning = True
    for name, layer in network.named_modules():
        own = [f"{name}.{parameter}" for parameter, _ in layer.named_parameters(recurse=False)]
        if own:  # one without parameters, such as a BatchNorm that only normalises, goes with the layer before it
            learning = not names.isdisjoint(own)
        if isinstance(layer, _BatchNorm):
            layer.train(network.training and learning)
