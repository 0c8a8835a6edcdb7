"""YuNet, the network that finds faces; it comes with the package, under the MIT licence beside it."""

import hashlib
import threading
from functools import cache
from importlib.resources import files

import cv2
import numpy as np

from fer.errors import FERError

MODEL = "face_detection_yunet_2026may.onnx"
SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
MIN_SCORE = 0.1  # of what is returned
MAX_OVERLAP = 0.3  # of two hits, intersection over union
MAX_HITS = 5000
COLUMNS = 15  # of a hit: left, top, width, height, five landmarks (x, y), score

_of_thread = threading.local()  # a detector serves one thread at a time


def hits(picture: np.ndarray) -> np.ndarray:
    """What looks like a face of about 30 to 300 pixels, however little.

    Args:
        picture: uint8 [H, W, 3] (BGR).

    Returns:
        float32 [n, 15]: left, top, width, height, then x and y of the eye on the left of the picture, the other eye,
        the tip of the nose, and the two corners of the mouth, pixels; and the score, from MIN_SCORE to 1.
    """
    if not hasattr(_of_thread, "detector"):
        nothing = np.empty(0, np.uint8)
        _of_thread.detector = cv2.FaceDetectorYN.create(
            "onnx", _model(), nothing, (320, 320), MIN_SCORE, MAX_OVERLAP, MAX_HITS
        )
    detector = _of_thread.detector
    detector.setInputSize(picture.shape[1::-1])
    found = detector.detect(np.ascontiguousarray(picture))[1]
    return np.empty((0, COLUMNS), np.float32) if found is None else found


@cache
def _model() -> np.ndarray:
    """The bytes of the model.

    Raises:
        FERError: they are not those that came with the package.
    """
    try:
        content = files(__package__).joinpath(MODEL).read_bytes()
    except OSError as error:
        raise FERError(f"the model that finds faces cannot be read ({error}); install the package again") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise FERError(f"the model that finds faces, {MODEL}, is damaged; install the package again")
    return np.frombuffer(content, np.uint8)
