"""Emotion logits from faces, in pure torch: what is trained, evaluated, exported and asked for predictions."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fer.models.averaging import AveragedNetwork
from fer.models.weights import FORMAT


class ExpressionClassifier(nn.Module):
    """A network with the normalisation of its training data and the names of its classes.

    Args:
        network: float [B, C, S, S], normalised -> logits [B, K].
        network_spec: plain constructor arguments of `network` (with `_target_`), kept in checkpoints.
        classes: names of the K outputs.
        image_size: side S of training images, pixels.
        mean: of each of the C channels of training images, in [0, 1].
        std: the same, standard deviation.
        stored_size: side of the squares in which the images were stored before, pixels: how sharp they can be; None
            if unknown.
        framing: how the pictures of training became faces, as `fer.faces.framing.Framing.to_dict` gives it; None if
            unknown.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        network_spec: dict[str, Any],
        classes: Sequence[str],
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        stored_size: int | None = None,
        framing: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.averaged: AveragedNetwork | None = None  # only in training; a checkpoint holds what is evaluated
        self.network_spec, self.classes = network_spec, list(classes)
        self.image_size, self.stored_size, self.framing = image_size, stored_size, framing
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    @property
    def channels(self) -> int:
        """C, of the images that the network takes."""
        return self.mean.numel()

    @property
    def device(self) -> torch.device:
        return self.mean.device

    @property
    def evaluated_network(self) -> nn.Module:
        """The network that evaluates: the one of the averaged weights if there are any."""
        return self.network if self.averaged is None else self.averaged.network

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float [B, K], of faces, float [B, C, S, S] in [0, 1]; by averaged weights outside training."""
        network = self.network if self.training else self.evaluated_network
        return network((images - self.mean) / self.std)

    def facts(self) -> dict[str, Any]:
        """What rebuilds this classifier, as plain values: `fer` in a checkpoint."""
        return {
            "format": FORMAT,
            "network": self.network_spec,
            "classes": self.classes,
            "image_size": self.image_size,
            "stored_size": self.stored_size,
            "framing": self.framing,
        }
