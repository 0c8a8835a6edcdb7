"""Models that `export.py` wrote as ONNX, read back: they answer as the original does, and hold no weights to train."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fer.errors import CheckpointError, ConfigError
from fer.models.classifier import ExpressionClassifier
from fer.models.weights import why_unreadable

ONNX = ".onnx"


class OnnxNetwork(nn.Module):
    """Logarithms of the probabilities, float32 [B, K], of faces, float [B, C, S, S] in [0, 1]; on the CPU.

    Args:
        path: of the model.

    Raises:
        ConfigError: onnxruntime is not installed.
        CheckpointError: onnxruntime does not take the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(f"{path} needs onnxruntime: pip install -e '.[export]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds
            raise CheckpointError(f"{path} {why_unreadable(path, error, program=True)}") from error

    @property
    def facts(self) -> dict[str, str]:
        """The metadata, text by key."""
        return dict(self.session.get_modelmeta().custom_metadata_map)

    def forward(self, images: Tensor) -> Tensor:
        levels = np.ascontiguousarray(images.detach().to("cpu", torch.float32).numpy())
        probabilities = torch.from_numpy(self.session.run(None, {self.session.get_inputs()[0].name: levels})[0])
        return probabilities.clamp_min(torch.finfo(torch.float32).tiny).log().to(images.device)


def load_onnx(path: Path) -> tuple[ExpressionClassifier, dict[str, str]]:
    """A classifier of an ONNX file, and the file's metadata. Normalisation and temperature are in the network.

    Raises:
        CheckpointError: missing, damaged, or not written by `export.py`.
        ConfigError: onnxruntime is not installed.
    """
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}")
    network = OnnxNetwork(path)
    facts = network.facts
    try:
        classifier = ExpressionClassifier(
            network,
            network_spec={"backbone": facts["backbone"]},
            classes=[str(name) for name in json.loads(facts["classes"])],
            image_size=int(facts["image_size"]),
            stored_size=json.loads(facts.get("stored_size", "null")),
            framing=json.loads(facts.get("framing", "null")),
            mean=[0.0] * int(facts["channels"]),
            std=[1.0] * int(facts["channels"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is no ONNX model of export.py, or was edited ({error!r})") from error
    return classifier.eval(), facts
