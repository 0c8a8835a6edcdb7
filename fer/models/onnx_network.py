"""Models that `export.py` wrote as ONNX, as networks of PyTorch: they answer as the original, with nothing to train."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from fer.models.classifier import ExpressionClassifier
from fer.models.onnx_model import OnnxModel


class OnnxNetwork(nn.Module):
    """Logarithms of the probabilities, float32 [B, K], of faces, float [B, C, S, S] in [0, 1]; on the CPU.

    It is the `NoveltyScore` of itself where the file tells novelty.
    """

    def __init__(self, model: OnnxModel) -> None:
        super().__init__()
        self.model = model
        self._novelty = torch.empty(0)  # of the last pass

    def forward(self, images: Tensor) -> Tensor:
        probabilities, novelty = self.model(images.detach().to("cpu", torch.float32).numpy())
        self._novelty = torch.empty(0) if novelty is None else torch.from_numpy(novelty)
        return torch.from_numpy(probabilities).clamp_min(torch.finfo(torch.float32).tiny).log().to(images.device)

    @contextmanager
    def watching(self, network: nn.Module) -> Iterator[Callable[[], Tensor]]:
        """See `fer.models.novelty.NoveltyScore`; the network is this one."""
        yield lambda: self._novelty


def load_onnx(path: Path) -> tuple[ExpressionClassifier, dict[str, str], OnnxNetwork | None]:
    """A classifier of an ONNX file, the file's metadata, and what tells novelty; None in files of before.

    Normalisation and temperature are in the network.

    Raises:
        CheckpointError: see `OnnxModel`.
        ConfigError: onnxruntime is not installed.
    """
    model = OnnxModel(path, torch.get_num_threads())
    network = OnnxNetwork(model)
    classifier = ExpressionClassifier(
        network,
        network_spec={"backbone": model.backbone},
        classes=model.classes,
        image_size=model.image_size,
        stored_size=model.stored_size,
        framing=model.framing,
        mean=[0.0] * model.channels,
        std=[1.0] * model.channels,
    )
    return classifier.eval(), model.facts, network if model.tells_novelty else None
