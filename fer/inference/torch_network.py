"""What a network says of faces, in PyTorch, on any device."""

from contextlib import nullcontext

import numpy as np
import torch

from fer.data.augment import resample
from fer.device import autocast, choose_device, choose_precision
from fer.inference.predictor import FaceOutputs
from fer.models.classifier import ExpressionClassifier
from fer.models.novelty import NoveltyScore


class TorchNetwork:
    """Answers for faces cut out; see `EmotionClassifier` for the arguments.

    Raises:
        ConfigError: no such device or precision.
    """

    def __init__(
        self, model: ExpressionClassifier, temperature: float, device: str, precision: str, novelty: NoveltyScore | None
    ) -> None:
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.model = model.eval().to(self.device).to(memory_format=torch.channels_last)  # 5 to 15 % faster on CPUs
        self.temperature, self.novelty = temperature, novelty

    @torch.inference_mode()
    def __call__(self, faces: np.ndarray) -> FaceOutputs:
        """What the network says of a batch: uint8 [n, S, S] or [n, S, S, 3]."""
        stack = torch.from_numpy(np.ascontiguousarray(faces)).to(self.device)
        images = resample(stack[:, None] if stack.ndim == 3 else stack.permute(0, 3, 1, 2), self.model.image_size)
        with self.novelty.watching(self.model.evaluated_network) if self.novelty else nullcontext() as score:
            with autocast(self.device, self.precision):
                logits = self.model(images)
            unlike = None if score is None else score()
        probabilities = (logits.float().cpu().double() / self.temperature).softmax(dim=1).numpy()
        return FaceOutputs(probabilities, None if unlike is None else unlike.cpu().double().numpy())
