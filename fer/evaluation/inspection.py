"""Looks into a network: what speaks for a class (Grad-CAM), its last features, and what one image costs."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fer.data.augment import resample
from fer.evaluation.predict_split import in_channels
from fer.models.classifier import ExpressionClassifier
from fer.models.novelty import stage_names

log = logging.getLogger(__name__)

MIN_CELLS = 4  # cells on a side that a map should have at least: coarser ones say nothing of a face
BATCH_SIZE = 64


def class_maps(
    classifier: ExpressionClassifier, images: np.ndarray, targets: Sequence[int], device: torch.device
) -> np.ndarray | None:
    """What speaks for a class in each image, float [N, S, S] in [0, 1]; each map's own largest value is 1.

    Args:
        classifier: is put into evaluation mode and onto the device.
        images: uint8 [N, H, W] or [N, H, W, 3].
        targets: the class in question of each image, int [N].
        device: to work on.

    Returns:
        None, with a line in the log, without pytorch-grad-cam or where the network has no maps in it.
    """
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError as error:
        log.warning("no Grad-CAM figure: %s; pip install grad-cam", error)
        return None
    classifier = classifier.eval().to(device)
    faces, network = as_seen(classifier, images, device), classifier.evaluated_network
    # A compiled network would not call the hooks; gradients must flow where weights are frozen too.
    with torch.compiler.set_stance("force_eager"), torch.inference_mode(False), torch.enable_grad():
        layer = layer_with_maps(network, classifier, faces[:1])
        if layer is None:
            log.warning("no Grad-CAM figure: the network has no layer whose output is a map")
            return None
        with GradCAM(model=classifier, target_layers=[layer]) as cam:
            maps = cam(faces.clone().requires_grad_(), [ClassifierOutputTarget(int(target)) for target in targets])
    classifier.zero_grad(set_to_none=True)
    return np.nan_to_num(maps)


def layer_with_maps(network: nn.Module, model: nn.Module, face: Tensor) -> nn.Module | None:
    """The deepest stage whose output has 4 x 4 cells or more; else the one with most cells; None where there is no map.

    Args:
        network: of timm (which names its stages), or any other (whose children are taken).
        model: what calls the network.
        face: float [1, C, S, S].
    """
    names = stage_names(network)
    shapes: dict[str, torch.Size] = {}

    def watch(name: str) -> Any:
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                shapes[name] = output.shape

        return network.get_submodule(name).register_forward_hook(note)

    hooks = [watch(name) for name in names]
    try:
        with torch.no_grad():
            model(face)
    finally:
        for hook in hooks:
            hook.remove()
    sides = {name: min(shapes[name][2:]) for name in names if name in shapes}
    if not sides or max(sides.values()) == 1:
        return None
    fine = [name for name, side in sides.items() if side >= MIN_CELLS]
    return network.get_submodule(fine[-1] if fine else max(sides, key=lambda name: sides[name]))


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
            for some in np.split(images, range(BATCH_SIZE, len(images), BATCH_SIZE)):
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


@torch.no_grad()
def multiply_accumulates(network: nn.Module, channels: int, image_size: int) -> int:
    """Multiply-accumulates of one forward pass of one image (what the literature calls FLOPs)."""
    parameter = next(network.parameters())
    training = {module: module.training for module in network.modules()}
    network.eval()
    counter = FlopCounterMode(display=False)
    try:
        with counter, sdpa_kernel(SDPBackend.MATH):  # fused attention is not counted on CPUs
            network(torch.zeros(1, channels, image_size, image_size, device=parameter.device))
    finally:
        for module, mode in training.items():
            module.training = mode
    return counter.get_total_flops() // 2
