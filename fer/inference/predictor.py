"""Emotions of one's own pictures, from Python. PyTorch is imported for networks that need it: ONNX files do not.

from fer import EmotionClassifier

classifier = EmotionClassifier.load("outputs/2026-01-31/12-00-00")
for face in classifier.predict("party.jpg")[0]:
    print(face.emotion, face.probability, face.box)
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard

import numpy as np
from omegaconf import DictConfig
from PIL import Image

from fer.errors import ConfigError, PictureError
from fer.evaluation.conformal import prediction_sets
from fer.faces.box import FaceBox
from fer.faces.detector import SMALLEST
from fer.faces.framing import Faces, FramedFaces, Framing, check_faces
from fer.faces.pictures import grey_if_grey, picture_pixels, read_picture
from fer.faces.resample import as_input
from fer.models.onnx_model import OnnxModel
from fer.models.shipped import DEFAULT, located
from fer.models.weight_files import ONNX, ExportedFacts, exported_file

if TYPE_CHECKING:
    from torch import Tensor

    from fer.evaluation.trained_model import TrainedModel
    from fer.models.classifier import ExpressionClassifier
    from fer.models.novelty import NoveltyScore

CHANNELS = (1, 3, 4)  # of arrays and tensors that are pictures
Picture: TypeAlias = "str | PathLike[str] | Image.Image | np.ndarray | Tensor"


@dataclass(frozen=True)
class Prediction:
    """One face."""

    emotion: str  # the most probable one
    probability: float  # its own
    probabilities: dict[str, float]  # of every class, calibrated where the run was; they add up to 1
    box: FaceBox | None  # where the face is in the picture, pixels; None: the whole picture is the face
    plausible: tuple[str, ...] | None = None  # a set that holds the truth in 90 % of images like those of validation
    novelty: float | None = None  # how unlike the training data; from 1 on the probabilities mean little; None: unknown

    @property
    def is_unlike_training(self) -> bool:
        """Whether it is farther from the training images than 99 % of validation images are."""
        return self.novelty is not None and self.novelty >= 1


class FaceOutputs(NamedTuple):
    """What a model says of n faces."""

    probabilities: np.ndarray  # float64 [n, K], calibrated
    novelty: np.ndarray | None  # float64 [n]; None where the model has no statistics of its training


class EmotionClassifier:
    """A trained network with the preprocessing of its training and its calibration.

    Args:
        model: the network with its normalisation; or an ONNX file, which has its temperature inside.
        temperature: divisor of its logits, fitted on validation; None leaves them as trained.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: `32-true`, `bf16-mixed`, `16-mixed`, or `auto`: the fastest that does no harm on the device.
        set_threshold: the least probability of the plausible emotions, fitted on validation; None where unknown.
        novelty: tells how unlike its training data a face is; None where that is unknown.
        trained_on: the name of its data.
    """

    def __init__(
        self,
        model: "ExpressionClassifier | OnnxModel",
        temperature: float | None = None,
        device: str = "auto",
        precision: str = "32-true",
        set_threshold: float | None = None,
        novelty: "NoveltyScore | None" = None,
        trained_on: str = "unknown data",
    ) -> None:
        self.model, self.set_threshold, self.trained_on = model, set_threshold, trained_on
        self.calibrated, self.temperature = temperature is not None, temperature or 1.0
        self._answer: Callable[[np.ndarray], FaceOutputs]
        if isinstance(model, OnnxModel):
            _check_onnx(device, precision)
            self._answer = partial(_onnx_answer, model)
        else:
            from fer.inference.torch_network import TorchNetwork

            self._answer = TorchNetwork(model, self.temperature, device, precision, novelty)
        self.classes: list[str] = list(model.classes)
        self.image_size, self.channels = model.image_size, model.channels
        self.framing = Framing.from_dict(model.framing)
        self.face_size = model.stored_size or model.image_size  # side of a face as cut out, pixels

    @classmethod
    def load(
        cls,
        path: Path | str = DEFAULT,
        device: str = "auto",
        precision: str = "32-true",
        own_network: DictConfig | None = None,
    ) -> "EmotionClassifier":
        """From a run folder (its best checkpoint), a checkpoint or an exported model, calibrated if that was fitted.

        Args:
            path: of any of them; `fer2013` is the model that comes with this package.
            device: as for the class.
            precision: as for the class.
            own_network: config of the network, if it is not one of timm's.

        Raises:
            CheckpointError: missing, damaged or foreign.
            ConfigError: no such device or precision.
        """
        path = exported_file(located(path))
        if path.suffix == ONNX:
            model = OnnxModel(path)
            facts = ExportedFacts.read(model.facts, path)
            temperature = 1.0 if facts.temperature else None  # its own is in the file
            trained_on = "unknown data" if facts.data is None else str(facts.data["name"])
            return cls(model, temperature, device, precision, facts.set_threshold, None, trained_on)
        from fer.evaluation.trained_model import load_trained

        return cls.of(load_trained(path, own_network), device, precision)

    @classmethod
    def of(cls, model: "TrainedModel", device: str = "auto", precision: str = "32-true") -> "EmotionClassifier":
        """A model that was loaded; see `load`."""
        facts = (model.set_threshold, model.novelty, model.trained_on)
        return cls(model.classifier, model.temperature, device, precision, *facts)

    def predict(
        self,
        images: "Picture | Sequence[Picture] | np.ndarray | Tensor",
        faces: Faces = "auto",
        batch_size: int = 64,
    ) -> list[list[Prediction]]:
        """The faces of each picture, the largest first; an empty list where none is found.

        Args:
            images: one picture or several: paths; PIL images; arrays [H, W] or [H, W, C], or a stack of them,
                [N, H, W] or [N, H, W, C]; tensors [H, W] or [C, H, W], or a stack [N, C, H, W]. C is 1, 3 (RGB) or
                4 (RGBA); values are uint8, uint16, or floats in [0, 1].
            faces: `auto` frames a picture as the training data were framed: face crops stay whole, and faces are
                found in other pictures; `detector` finds faces in every picture; `none` takes every picture as one
                face, and `whole` as it is.
            batch_size: faces that go through the network at once.

        Returns:
            A list for each picture, in order; a single picture gives a list of one.

        Raises:
            PictureError: a path that cannot be read as a picture, an array of another shape or kind.
        """
        check_faces(faces)
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size}: give 1 or more")
        framed = [self.frame(as_pixels(image), faces) for image in as_list(images)]
        return self.named(framed, self.outputs([part.faces for part in framed], batch_size))

    def frame(self, picture: np.ndarray, faces: Faces = "auto", smallest: float = SMALLEST) -> FramedFaces:
        """The faces of a picture, uint8 [H, W] or [H, W, 3], cut out as for training: `faces` uint8 [n, S, S(, 3)]."""
        return self.framing.frame(picture, self.face_size, self.channels, faces, smallest)

    def probabilities(self, faces: np.ndarray | Sequence[np.ndarray], batch_size: int = 64) -> np.ndarray:
        """Calibrated probabilities, float64 [n, K], of faces cut out: uint8 [n, S, S(, 3)], whole or in parts."""
        return self.outputs(faces, batch_size).probabilities

    def outputs(self, faces: np.ndarray | Sequence[np.ndarray], batch_size: int = 64) -> FaceOutputs:
        """What the model says of faces cut out: uint8 [n, S, S(, 3)], whole or in parts."""
        faces = faces if isinstance(faces, np.ndarray) else np.concatenate([*faces]) if faces else np.empty(0)
        found = [self._answer(faces[start : start + batch_size]) for start in range(0, len(faces), batch_size)]
        if not found:
            return FaceOutputs(np.empty((0, len(self.classes))), None)
        probabilities, novelty = zip(*found, strict=True)
        return FaceOutputs(np.concatenate(probabilities), None if novelty[0] is None else np.concatenate(novelty))

    def named(self, framed: Sequence[FramedFaces], outputs: FaceOutputs) -> list[list[Prediction]]:
        """The predictions of each picture, from the outputs for all their faces in order."""
        scores = outputs.novelty if outputs.novelty is not None else [None] * len(outputs.probabilities)
        rows = iter(zip(outputs.probabilities, scores, strict=True))
        return [[self._prediction(*next(rows), box) for box in part.boxes] for part in framed]

    def _prediction(self, probabilities: np.ndarray, novelty: float | None, box: FaceBox | None) -> Prediction:
        by_class = dict(zip(self.classes, probabilities.tolist(), strict=True))
        emotion = max(by_class, key=by_class.__getitem__)
        novelty = None if novelty is None else float(novelty)
        return Prediction(emotion, by_class[emotion], by_class, box, self._plausible(probabilities), novelty)

    def _plausible(self, probabilities: np.ndarray) -> tuple[str, ...] | None:
        """The most probable first."""
        if self.set_threshold is None:
            return None
        held = prediction_sets(probabilities[None], self.set_threshold)[0]
        return tuple(self.classes[index] for index in np.argsort(-probabilities, kind="stable") if held[index])


def _check_onnx(device: str, precision: str) -> None:
    if device not in ("auto", "cpu"):
        raise ConfigError(f"device={device}: ONNX files are computed on the CPU here; give device=cpu, or a checkpoint")
    if precision not in ("auto", "32-true", "32"):
        raise ConfigError(f"precision={precision}: an ONNX file has its own; export it with precision=fp16 or int8")


def _onnx_answer(model: OnnxModel, faces: np.ndarray) -> FaceOutputs:
    """What an ONNX file says of faces cut out: uint8 [n, S, S(, 3)]."""
    probabilities, novelty = model(as_input(faces, model.image_size))
    probabilities = probabilities.astype(np.float64)
    known = None if novelty is None else novelty.astype(np.float64)
    return FaceOutputs(probabilities / probabilities.sum(axis=1, keepdims=True), known)


def as_list(images: Any) -> Sequence[Any]:
    """One picture or several -> a list. Stacks have four axes; stacks of arrays may have three, [N, H, W]."""
    if isinstance(images, str | PathLike | Image.Image):
        return [images]
    if isinstance(images, np.ndarray):
        stack = images.ndim == 4 or (images.ndim == 3 and images.shape[2] not in CHANNELS)
        return list(images) if stack else [images]
    if _is_tensor(images):
        return list(images) if images.ndim == 4 else [images]
    return list(images)


def as_pixels(image: Picture) -> np.ndarray:
    """uint8 [H, W], or [H, W, 3] (RGB) where the channels differ.

    Args:
        image: a path, a PIL image, an array [H, W] or [H, W, C], a tensor [H, W] or [C, H, W]; C is 1, 3 or 4.

    Raises:
        PictureError: unreadable, or of another shape or kind of numbers.
    """
    if isinstance(image, str | PathLike):
        try:
            return read_picture(Path(image))
        except PictureError as error:
            raise PictureError(f"{image} cannot be read: {error}") from error
    if isinstance(image, Image.Image):
        try:
            return picture_pixels(image)
        except Exception as error:  # Pillow decodes late, and its decoders raise nearly anything
            raise PictureError(f"a PIL image cannot be read: {error}") from error
    if _is_tensor(image):
        tensor = image.detach().cpu()
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        return _array_pixels((tensor.permute(1, 2, 0) if tensor.ndim == 3 else tensor).numpy())
    if isinstance(image, np.ndarray):
        return _array_pixels(image)
    raise PictureError(f"a {type(image).__name__} is no picture: give a path, PIL image, array or tensor")


def _is_tensor(value: Any) -> "TypeGuard[Tensor]":
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    return torch is not None and isinstance(value, torch.Tensor)


def _array_pixels(array: np.ndarray) -> np.ndarray:
    """uint8 [H, W], or [H, W, 3] where the channels differ."""
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in CHANNELS or array.size == 0:
        raise PictureError(f"an array of shape {list(array.shape)} is no picture: [H, W], or C of 1, 3 or 4 channels")
    levels = _eight_bits(array)
    if channels == 4:
        return picture_pixels(Image.fromarray(levels))
    if channels == 3:
        return grey_if_grey(np.ascontiguousarray(levels))
    return np.ascontiguousarray(levels.reshape(array.shape[:2]))


def _eight_bits(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    low, high = float(array.min()), float(array.max())
    fractions = bool(np.issubdtype(array.dtype, np.floating))
    top = 1 if fractions else 255
    if not (low >= 0 and high <= top):
        raise PictureError(
            f"an array of {array.dtype} from {low:g} to {high:g} is no picture: its values go from 0 to {top}"
        )
    return np.rint(array * (255 if fractions else 1)).astype(np.uint8)
