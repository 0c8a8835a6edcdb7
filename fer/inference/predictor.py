"""Emotions of one's own pictures, from Python.

from fer import EmotionClassifier

classifier = EmotionClassifier.load("outputs/2026-01-31/12-00-00")
for face in classifier.predict("party.jpg")[0]:
    print(face.emotion, face.probability, face.box)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fer.data.augment import resample
from fer.device import autocast, choose_device, choose_precision
from fer.errors import CheckpointError, ConfigError, RunError
from fer.faces.detector import SEARCH_SIDE, FaceBox
from fer.faces.framing import Faces, FramedFaces, Framing, check_faces
from fer.inference.images import Picture, as_pixels, listed
from fer.models.classifier import ExpressionClassifier
from fer.models.load import load_classifier
from fer.runs.folder import BEST_CHECKPOINT, RunFolder


@dataclass(frozen=True)
class Prediction:
    """One face."""

    emotion: str  # the most probable one
    probability: float  # its own
    probabilities: dict[str, float]  # of every class, calibrated where the run was; they add up to 1
    box: FaceBox | None  # where the face is in the picture, pixels; None: the whole picture is the face


class EmotionClassifier:
    """A trained network with the preprocessing of its training and its calibration.

    Args:
        model: the network with its normalisation, in evaluation mode.
        temperature: divisor of its logits, fitted on validation; 1 leaves them as trained.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: `32-true`, `bf16-mixed`, `16-mixed`, or `auto`: the fastest that does no harm on the device.
    """

    def __init__(
        self,
        model: ExpressionClassifier,
        temperature: float = 1.0,
        device: str = "auto",
        precision: str = "32-true",
    ) -> None:
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.model = model.eval().to(self.device).to(memory_format=torch.channels_last)  # 5 to 15 % faster on CPUs
        self.temperature = temperature
        self.classes: list[str] = list(model.classes)
        self.image_size = model.image_size
        self.channels = int(model.mean.numel())
        self.framing = Framing.from_dict(model.framing)
        self.face_size = model.stored_size or model.image_size  # side of a face as cut out, pixels

    @classmethod
    def load(cls, path: Path | str, device: str = "auto", precision: str = "32-true") -> "EmotionClassifier":
        """From a run folder (its best checkpoint) or a checkpoint; calibrated where `calibration.json` stands.

        Raises:
            CheckpointError: missing, damaged or foreign.
            ConfigError: no such device or precision.
        """
        return cls(load_classifier(path), run_temperature(path), device, precision)

    def predict(
        self,
        images: Picture | Sequence[Picture] | np.ndarray | Tensor,
        faces: Faces = "auto",
        batch_size: int = 64,
    ) -> list[list[Prediction]]:
        """The faces of each picture, the largest first; an empty list where none is found.

        Args:
            images: one picture or several: paths; PIL images; arrays [H, W] or [H, W, C], or a stack of them,
                [N, H, W] or [N, H, W, C]; tensors [H, W] or [C, H, W], or a stack [N, C, H, W]. C is 1, 3 (RGB) or
                4 (RGBA); values are uint8, uint16, or floats in [0, 1].
            faces: `auto` frames a picture as the training data were framed: face crops stay whole, and faces are
                found in other pictures; `all` finds faces in every picture; `none` takes every picture as one face.
            batch_size: faces that go through the network at once.

        Returns:
            A list for each picture, in order; a single picture gives a list of one.

        Raises:
            PictureError: a path that cannot be read as a picture, an array of another shape or kind.
        """
        check_faces(faces)
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size}: give 1 or more")
        framed = [self.frame(as_pixels(image), faces) for image in listed(images)]
        probabilities = self.probabilities([part.faces for part in framed], batch_size)
        return self.named(framed, probabilities)

    def frame(self, picture: np.ndarray, faces: Faces = "auto", search_side: int = SEARCH_SIDE) -> FramedFaces:
        """The faces of a picture, uint8 [H, W] or [H, W, 3], cut out as for training: `faces` uint8 [n, S, S(, 3)]."""
        return self.framing.frame(picture, self.face_size, self.channels, faces, search_side)

    def inputs(self, faces: np.ndarray) -> Tensor:
        """What the model takes, float [n, C, S, S] in [0, 1] on the device, of faces cut out, uint8 [n, H, W(, 3)]."""
        stack = torch.from_numpy(np.ascontiguousarray(faces)).to(self.device)
        return resample(stack[:, None] if stack.ndim == 3 else stack.permute(0, 3, 1, 2), self.image_size)

    @torch.inference_mode()
    def probabilities(self, faces: np.ndarray | Sequence[np.ndarray], batch_size: int = 64) -> np.ndarray:
        """Calibrated probabilities, float64 [n, K], of faces cut out: uint8 [n, S, S(, 3)], whole or in parts."""
        faces = faces if isinstance(faces, np.ndarray) else np.concatenate([*faces]) if faces else np.empty(0)
        logits = [torch.empty(0, len(self.classes))]
        for start in range(0, len(faces), batch_size):
            with autocast(self.device, self.precision):
                batch = self.model(self.inputs(faces[start : start + batch_size]))
            logits.append(batch.float().cpu())
        return (torch.cat(logits).double() / self.temperature).softmax(dim=1).numpy()

    def named(self, framed: Sequence[FramedFaces], probabilities: np.ndarray) -> list[list[Prediction]]:
        """The predictions of each picture, from the probabilities, float [n, K], of all their faces in order."""
        rows = iter(probabilities)
        return [[self._prediction(next(rows), box) for box in part.boxes] for part in framed]

    def _prediction(self, probabilities: np.ndarray, box: FaceBox | None) -> Prediction:
        by_class = dict(zip(self.classes, probabilities.tolist(), strict=True))
        emotion = max(by_class, key=by_class.__getitem__)
        return Prediction(emotion, by_class[emotion], by_class, box)


def run_temperature(path: Path | str) -> float:
    """The temperature fitted for a run folder or its best checkpoint; 1 where there is none.

    Raises:
        CheckpointError: a `calibration.json` that holds no temperature.
    """
    path = Path(path)
    run = RunFolder(path) if path.is_dir() else RunFolder.of_checkpoint(path)
    if run is None or (path.is_file() and path.name != BEST_CHECKPOINT):  # it was fitted for that checkpoint, no other
        return 1.0
    try:
        return run.read_temperature() or 1.0
    except RunError as error:
        raise CheckpointError(f"{run} holds no temperature: {error}; delete that file to go on uncalibrated") from error
