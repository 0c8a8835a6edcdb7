"""What a network makes of an image just before its last layer."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fer.data.augment import resample
from fer.evaluation.tta import in_channels
from fer.models.classifier import ExpressionClassifier

BATCH = 64


@torch.inference_mode()
def penultimate_features(
    classifier: ExpressionClassifier, images: np.ndarray, device: torch.device
) -> np.ndarray | None:
    """The input of the last linear layer, float32 [N, D]; None where the network has none.

    Args:
        classifier: is put into evaluation mode and onto the device.
        images: uint8 [N, H, W] or [N, H, W, 3].
        device: to work on.
    """
    classifier = classifier.eval().to(device)
    layers = [layer for layer in classifier.evaluated_network.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        return None
    features: list[Tensor] = []

    def note(layer: nn.Module, inputs: Any) -> None:
        features.append(inputs[0].flatten(1).float().cpu())

    hook = layers[-1].register_forward_pre_hook(note)
    try:
        with torch.compiler.set_stance("force_eager"):  # a compiled network would not call the hook
            for some in np.split(images, range(BATCH, len(images), BATCH)):
                classifier(as_seen(classifier, some, device))
    finally:
        hook.remove()
    return torch.cat(features).numpy()


def as_seen(classifier: ExpressionClassifier, images: np.ndarray, device: torch.device) -> Tensor:
    """Images as an evaluation shows them to a classifier, float [N, C, S, S] in [0, 1].

    Args:
        classifier: for its channels and its size.
        images: uint8 [N, H, W] or [N, H, W, 3].
        device: of the result.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return resample(in_channels(pixels, len(classifier.mean)), classifier.image_size)
