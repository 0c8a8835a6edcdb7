"""What the page is told: of the model, and of the faces in a picture."""

import base64
import io
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

from fer.evaluation.inspection import class_maps
from fer.evaluation.trained_model import TrainedModel
from fer.faces.framing import Faces
from fer.faces.pictures import decode_picture
from fer.inference.annotate import colour
from fer.inference.predictor import EmotionClassifier, Prediction
from fer.reporting.facts import limits
from fer.runs.folder import RunFolder

MOST_FACES = 32  # that are told of one picture, the largest
MOST_MAPS = 8  # of them with a Grad-CAM, which costs several passes through the network
VERY, FAIRLY, HARDLY = 0.9, 0.7, 0.5  # calibrated probabilities, and the words for them
SHADE = 0.75  # opacity of a map where it is strongest


class Answers:
    """Answers about pictures; keeps none of them.

    Args:
        model: with what its run folder says of it.
        device: see `EmotionClassifier`.
    """

    def __init__(self, model: TrainedModel, device: str = "auto") -> None:
        self.classifier = EmotionClassifier(model.classifier, model.temperature or 1.0, device)
        self.about = about(model)

    def faces(self, content: bytes, faces: Faces = "auto", maps: bool = False) -> dict[str, Any]:
        """The faces of an encoded picture, the largest first, in plain values.

        Args:
            content: of a picture file.
            faces: see `EmotionClassifier.predict`.
            maps: whether to say which parts of a face spoke for its emotion.

        Raises:
            PictureError: it cannot be read.
        """
        picture = decode_picture(content)
        framed = self.classifier.frame(picture, faces)
        seen = framed.faces[:MOST_FACES]
        predictions = self.classifier.named([framed], self.classifier.probabilities(framed.faces))[0][:MOST_FACES]
        shown = [{"seen": _png(face), **_plain(prediction)} for face, prediction in zip(seen, predictions, strict=True)]
        if maps and shown:
            for face, layer in zip(shown, self._maps(seen[:MOST_MAPS], predictions), strict=False):
                face["map"] = layer
        height, width = picture.shape[:2]
        return {"width": width, "height": height, "found": len(framed.faces), "faces": shown}

    def _maps(self, faces: np.ndarray, predictions: list[Prediction]) -> list[str]:
        """Grad-CAM of each face's emotion as a half-transparent PNG; none without pytorch-grad-cam."""
        classes = self.classifier.classes
        targets = [classes.index(prediction.emotion) for prediction in predictions[: len(faces)]]
        found = class_maps(self.classifier.model, faces, targets, self.classifier.device)
        if found is None:
            return []
        tints = (colormaps["inferno"](found) * 255).astype(np.uint8)
        tints[..., 3] = (255 * SHADE * np.sqrt(found)).astype(np.uint8)
        return [_png(tint) for tint in tints]


def about(model: TrainedModel) -> dict[str, Any]:
    """What a model is, what it was trained on, and what that means for its answers."""
    metrics: dict[str, Any] = {}
    if model.folder is not None and (run := RunFolder(model.folder)).is_finished():
        metrics = run.read_metrics()
    classifier = model.classifier
    data = model.data or {}
    return {
        "network": str(classifier.network_spec.get("backbone", "a network")).split(".")[0],
        "trained_on": model.trained_on,
        "classes": classifier.classes,
        "colours": {emotion: colour(emotion) for emotion in classifier.classes},
        "accuracy": metrics.get("test/accuracy"),
        "accuracy_ci95": metrics.get("test/accuracy_ci95"),
        "images": metrics.get("test/images"),
        "calibrated": model.temperature is not None,
        "limits": limits(str(data.get("name", "")), len(classifier.classes), metrics),
    }


def certainty(probabilities: dict[str, float]) -> str:
    """How sure the model is, in words.

    Args:
        probabilities: calibrated, of each class.
    """
    first, second, *_ = sorted(probabilities, key=lambda emotion: -probabilities[emotion])
    highest = probabilities[first]
    if highest >= VERY:
        return "very sure"
    if highest >= FAIRLY:
        return "fairly sure"
    if highest >= HARDLY:
        return f"not sure, perhaps {second}"
    return f"a guess between {first} and {second}"


def _plain(prediction: Prediction) -> dict[str, Any]:
    box = prediction.box
    return {
        "emotion": prediction.emotion,
        "probability": prediction.probability,
        "probabilities": prediction.probabilities,
        "certainty": certainty(prediction.probabilities),
        "box": None if box is None else {"left": box.left, "top": box.top, "side": box.side},
    }


def _png(pixels: np.ndarray) -> str:
    """A data URI of uint8 [H, W], [H, W, 3] or [H, W, 4]."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
