"""The network that is deployed: from pixels to calibrated probabilities, with nothing left to do outside."""

import copy

import torch
from torch import Tensor, nn

from fer.models.classifier import ExpressionClassifier


class CalibratedNetwork(nn.Module):
    """Probabilities, float32 [B, K], of faces, float32 [B, C, S, S] in [0, 1].

    Args:
        classifier: normalisation and network are taken from it; it stays as it is.
        temperature: divisor of the logits, fitted on validation.
        half: compute the network in fp16; what goes in and comes out stays float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: ExpressionClassifier, temperature: float, half: bool = False) -> None:
        super().__init__()
        network = copy.deepcopy(classifier.evaluated_network)
        self.network = network.half() if half else network.float()
        self.register_buffer("mean", classifier.mean.detach().clone())
        self.register_buffer("std", classifier.std.detach().clone())
        self.temperature, self.half_precision = temperature, half
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        faces = (images - self.mean) / self.std
        if self.half_precision:
            faces = faces.to(torch.float16)
        return (self.network(faces).float() / self.temperature).softmax(dim=1)
