"""Exponential moving average of weights: what is evaluated, saved as best and exported, where it is on.

Lightning's `EMAWeightAveraging` (2.6) writes the raw weights into weights-only checkpoints such as `best.ckpt`, saves
the two swapped when a validation is interrupted, and has no warm-up of the decay.
"""

import copy

import torch
from torch import nn

from fer.errors import ConfigError


class AveragedNetwork(nn.Module):
    """A copy of a network whose weights and buffers follow it slowly (Polyak & Juditsky 1992).

    The decay rises as (1 + step) / (10 + step) up to its own value, so that short runs and early epochs are not
    averages of the first random weights.

    Args:
        network: what to follow.
        decay: share of the average that stays in a step, once warmed up.

    Raises:
        ConfigError: a decay outside (0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        if not 0 < decay < 1:
            raise ConfigError(f"module.ema_decay={decay}: give a number over 0 and below 1, such as 0.999, or null")
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)

    def decay_at(self, step: int) -> float:
        return min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def follow(self, network: nn.Module, step: int) -> None:
        """Move towards a network after its optimizer step number `step`, from 0.

        Frozen weights equal their average, and stay equal to the bit. Counts (of batches seen) are taken over.
        """
        own, others = _tensors(self.network), _tensors(network)
        floats = [(mine, other) for mine, other in zip(own, others, strict=True) if mine.is_floating_point()]
        mine, theirs = [pair[0] for pair in floats], [pair[1] for pair in floats]
        torch._foreach_lerp_(mine, theirs, 1 - self.decay_at(step))
        for count, other in zip(own, others, strict=True):
            if not count.is_floating_point():
                count.copy_(other)


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]
