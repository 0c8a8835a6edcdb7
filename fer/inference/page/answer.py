"""The answers of the page's server: about the model, and about the faces in a picture."""

import base64
import io
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

from fer.data.datasets import dataset
from fer.evaluation.inspection import class_maps
from fer.evaluation.trained_model import TrainedModel
from fer.faces.framing import Faces
from fer.faces.pictures import decode_picture
from fer.inference.annotate import colour
from fer.inference.predictor import EmotionClassifier, Prediction
from fer.reporting.facts import limits

MAX_FACES = 32  # in the answer about one picture: the largest
MAX_MAPS = 8  # faces with a Grad-CAM, which costs several passes through the network
CERTAINTY = (  # from which probability on
    (0.9, "clear"),
    (0.7, "fairly clear"),
    (0.5, "not clear, perhaps {second}"),
    (0.0, "a guess between {first} and {second}"),
)
UNLIKE = "unlike the faces it was trained on: do not rely on this"
MAP_OPACITY = 0.75  # where a map is strongest


class Answers:
    """Answers about pictures; keeps none of them.

    Args:
        model: with what its run folder says of it.
        device: see `EmotionClassifier`.
    """

    def __init__(self, model: TrainedModel, device: str = "auto") -> None:
        self.classifier, self.network = EmotionClassifier.of(model, device), model.classifier
        self.about = about(model)

    def faces(self, content: bytes, faces: Faces = "auto", maps: bool = False) -> dict[str, Any]:
        """The faces of an encoded picture, the largest first, in plain values.

        Args:
            content: of a picture file.
            faces: see `EmotionClassifier.predict`.
            maps: whether to add maps of the parts of a face that led to its emotion (Grad-CAM).

        Raises:
            PictureError: it cannot be read.
        """
        picture = decode_picture(content)
        framed = self.classifier.frame(picture, faces)
        seen = framed.faces[:MAX_FACES]
        predictions = self.classifier.named([framed], self.classifier.outputs(framed.faces))[0][:MAX_FACES]
        shown = [{"seen": _png(face), **_plain(prediction)} for face, prediction in zip(seen, predictions, strict=True)]
        if maps and shown:
            for face, layer in zip(shown, self._maps(seen[:MAX_MAPS], predictions), strict=False):
                face["map"] = layer
        height, width = picture.shape[:2]
        return {"width": width, "height": height, "found": len(framed.faces), "faces": shown}

    def _maps(self, faces: np.ndarray, predictions: list[Prediction]) -> list[str]:
        """Grad-CAM of each face's emotion as a half-transparent PNG; none without pytorch-grad-cam."""
        classes = self.classifier.classes
        targets = [classes.index(prediction.emotion) for prediction in predictions[: len(faces)]]
        found = class_maps(self.network, faces, targets, self.network.device)
        if found is None:
            return []
        tints = (colormaps["inferno"](found) * 255).astype(np.uint8)
        tints[..., 3] = (255 * MAP_OPACITY * np.sqrt(found)).astype(np.uint8)
        return [_png(tint) for tint in tints]


def about(model: TrainedModel) -> dict[str, Any]:
    """What a model is, what it was trained on, and what that means for its answers."""
    classifier, metrics = model.classifier, model.metrics
    data, trained_on = model.data or {}, dataset(model.trained_on)
    return {
        "network": str(classifier.network_spec.get("backbone", "a network")).split(".")[0],
        "trained_on": model.trained_on,
        "classes": classifier.classes,
        "colours": {emotion: colour(emotion) for emotion in classifier.classes},
        "accuracy": metrics.get("test/accuracy"),
        "accuracy_ci95": metrics.get("test/accuracy_ci95"),
        "images": metrics.get("test/images"),
        "calibrated": model.temperature is not None,
        "title": trained_on.title,
        "licence": trained_on.licence,
        "warning": trained_on.warning,
        "limits": limits(str(data.get("name", "")), len(classifier.classes), metrics),
    }


def certainty(probabilities: dict[str, float]) -> str:
    """How clear an answer is, in words; from calibrated probabilities by class."""
    first, second, *_ = sorted(probabilities, key=lambda emotion: -probabilities[emotion])
    words = (text for lowest, text in CERTAINTY if probabilities[first] >= lowest)
    return next(words).format(first=first, second=second)


def _plain(prediction: Prediction) -> dict[str, Any]:
    box = prediction.box
    return {
        "emotion": prediction.emotion,
        "probability": prediction.probability,
        "probabilities": prediction.probabilities,
        "certainty": UNLIKE if prediction.is_unlike_training else certainty(prediction.probabilities),
        "novelty": prediction.novelty,
        "face_score": None if box is None else box.score,
        "box": None if box is None else {"left": box.left, "top": box.top, "side": box.side},
    }


def _png(pixels: np.ndarray) -> str:
    """A data URI of uint8 [H, W], [H, W, 3] or [H, W, 4]."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
