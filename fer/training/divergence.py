"""Noticing the first loss that is no number, without waiting for the device at every step."""

import torch
from torch import Tensor, nn

from fer.errors import DivergenceError


class DivergenceWatch:
    """Remembers the first step whose loss was not finite."""

    def __init__(self) -> None:
        self._first: Tensor | None = None

    def see(self, loss: Tensor, step: int) -> None:
        """Look at the loss of a step; costs no synchronisation."""
        if self._first is None or self._first.device != loss.device:
            self._first = torch.full((), -1, dtype=torch.int64, device=loss.device)
        bad = (self._first < 0) & ~torch.isfinite(loss.detach())
        self._first = torch.where(bad, step, self._first)

    @property
    def step(self) -> int | None:
        """The first step without a finite loss; None if there was none. Waits for the device."""
        if self._first is None or int(self._first) < 0:
            return None
        return int(self._first)


def divergence(
    step: int, epoch: int, rate: float, precision: str, network: nn.Module, images: Tensor | None = None
) -> DivergenceError:
    """The error to raise for a loss that is not finite, with its likely cause.

    Args:
        step: of the run, from 0.
        epoch: from 0.
        rate: highest learning rate at that step.
        precision: Lightning's name of it.
        network: as it is now.
        images: the batch, where it is still at hand.
    """
    if images is not None and not torch.isfinite(images).all():
        cause = "the images hold values that are no numbers: look at the data"
    else:
        finite = all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters())
        cause = "the loss overflowed" if finite else "the weights overflowed"
        cause += f" at learning rate {rate:.2g}, which is most likely too high: lower optimizer.lr (lr_find=true finds "
        cause += "one), or set trainer.gradient_clip_val=1"
        if precision == "16-mixed":
            cause += ", or trainer.precision=32-true, for fp16 has a small range"
    return DivergenceError(f"epoch {epoch}, step {step}: the loss is no finite number; {cause}")
