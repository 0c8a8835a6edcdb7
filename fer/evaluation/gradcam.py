"""What in a face speaks for a class: Grad-CAM (Selvaraju et al., ICCV 2017), by pytorch-grad-cam."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fer.evaluation.features import as_seen
from fer.models.classifier import ExpressionClassifier

log = logging.getLogger(__name__)

FINEST = 4  # cells on a side that a map should have at least: coarser ones say nothing of a face


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
    described: Any = getattr(network, "feature_info", None)
    stages = [stage["module"] for stage in described] if isinstance(described, list) else []
    names = stages or [name for name, _ in network.named_children()]
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
    fine = [name for name, side in sides.items() if side >= FINEST]
    return network.get_submodule(fine[-1] if fine else max(sides, key=lambda name: sides[name]))
