"""Which stages learn at which epoch: a pure function of the epoch, so a resumed run needs no memory of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fer.errors import ConfigError
from fer.model.stages import Stage


@dataclass(frozen=True)
class FreezeSchedule:
    """Stages trained from given epochs on, counted from the head, so that it serves any network.

    Args:
        trainable: first epoch -> number of stages from the head that train from then on, or `all`; an entry
            for epoch 0 must be there.

    Raises:
        ConfigError: no entry for epoch 0, another key that is no epoch, or a count under 1.
    """

    trainable: Mapping[int, int | Literal["all"]] = field(default_factory=lambda: {0: "all"})

    def __post_init__(self) -> None:
        if 0 not in self.trainable:
            raise ConfigError(f"freeze.trainable={dict(self.trainable)}: say what trains from epoch 0 on")
        if any(not isinstance(start, int) or start < 0 for start in self.trainable):
            raise ConfigError(
                f"freeze.trainable={dict(self.trainable)}: epochs are whole numbers, such as {{0: 1, 3: all}}"
            )
        if any(count != "all" and (not isinstance(count, int) or count < 1) for count in self.trainable.values()):
            raise ConfigError(f"freeze.trainable={dict(self.trainable)}: give counts of 1 or more, or all")

    def trainable_stages(self, epoch: int, stages: Sequence[Stage]) -> list[Stage]:
        """The stages that train in an epoch, in the network's order."""
        count = self.trainable[max(start for start in self.trainable if start <= epoch)]
        return list(stages) if count == "all" else list(stages[-int(count) :])


def apply_freeze(network: nn.Module, stages: Sequence[Stage], trainable: Sequence[Stage]) -> None:
    """Train just the given stages: no gradient for the others, and their BatchNorm statistics stand still.

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
