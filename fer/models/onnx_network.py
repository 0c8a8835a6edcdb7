"""Models that `export.py` wrote as ONNX, as networks of PyTorch: they answer as the original, with nothing to train."""

from pathlib import Path

import torch
from torch import Tensor, nn

from fer.models.classifier import ExpressionClassifier
from fer.models.onnx_model import OnnxModel


class OnnxNetwork(nn.Module):
    """Logarithms of the probabilities, float32 [B, K], of faces, float [B, C, S, S] in [0, 1]; on the CPU."""

    def __init__(self, model: OnnxModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        probabilities = torch.from_numpy(self.model(images.detach().to("cpu", torch.float32).numpy()))
        return probabilities.clamp_min(torch.finfo(torch.float32).tiny).log().to(images.device)


def load_onnx(path: Path) -> tuple[ExpressionClassifier, dict[str, str]]:
    """A classifier of an ONNX file, and the file's metadata. Normalisation and temperature are in the network.

    Raises:
        CheckpointError: see `OnnxModel`.
        ConfigError: onnxruntime is not installed.
    """
    model = OnnxModel(path, torch.get_num_threads())
    classifier = ExpressionClassifier(
        OnnxNetwork(model),
        network_spec={"backbone": model.backbone},
        classes=model.classes,
        image_size=model.image_size,
        stored_size=model.stored_size,
        framing=model.framing,
        mean=[0.0] * model.channels,
        std=[1.0] * model.channels,
    )
    return classifier.eval(), model.facts
