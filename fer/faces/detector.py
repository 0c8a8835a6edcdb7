"""Faces in larger pictures: found, and cropped as FER2013 crops them. Packing and prediction share this.

The detector is OpenCV's Haar cascade (Viola & Jones 2001; Lienhart & Maydt 2002), whose model comes with the
package. Its box and FER2013's crop are nearly the same square: on PublicTest, every second image, enlarged to 144
pixels with its border repeated, the box is found on 82 % of images, its side is 0.96 of the crop's (quartiles 0.88 and
1.03) and its centre lies at (0.500, 0.493) of it (quartiles 0.486 to 0.517 across, 0.472 to 0.507 down). Histograms are
not equalised first: of 226 faces pasted into 50 plain and noisy pictures that found 100, without it 173.
"""

import os
import threading
from dataclasses import dataclass

import cv2
import numpy as np

MODELS = os.path.join(os.path.dirname(cv2.__file__), "data")
CASCADES = ("haarcascade_frontalface_alt2.xml", "haarcascade_frontalface_default.xml")  # the second if the first fails
BOX_SIDE = 0.97  # side of the detector's box as a fraction of the side of FER2013's crop
BOX_CENTRE = (0.503, 0.493)  # its centre (x, y) as fractions of FER2013's crop
SEARCH_SIDE = 1280  # pixels of the longer side; larger pictures are shrunk to it for the search
SMALLEST_FACE = 1 / 20  # of the shorter side of the picture
FEWEST_PIXELS = 24  # of a face in the searched picture: the cascades were trained on 20 to 24
NEIGHBOURS = 5  # overlapping hits that make a face
SCALE_STEP = 1.08

_of_thread = threading.local()  # a cascade serves one thread at a time


@dataclass(frozen=True)
class FaceBox:
    """A square around a face, in pixels of the picture; it may reach beyond the picture's edges."""

    left: float
    top: float
    side: float
    score: float = 0.0  # the detector's weight of the last stage; larger is more certain


def find_faces(
    picture: np.ndarray,
    box_side: float = BOX_SIDE,
    box_centre: tuple[float, float] = BOX_CENTRE,
    search_side: int = SEARCH_SIDE,
) -> list[FaceBox]:
    """The faces of a picture, the largest first, by default framed as FER2013 frames them.

    Args:
        picture: uint8 [H, W] or [H, W, 3] (RGB).
        box_side: side of the detector's box as a fraction of the side of the square that is returned.
        box_centre: its centre (x, y) as fractions of that square.
        search_side: longer side to which a larger picture is shrunk for the search, pixels.

    Returns:
        Squares that may reach beyond the picture; an empty list where no frontal face is seen.
    """
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    shrink = max(1.0, max(grey.shape) / search_side)
    if shrink > 1:
        size = (max(1, round(grey.shape[1] / shrink)), max(1, round(grey.shape[0] / shrink)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    smallest = max(FEWEST_PIXELS, round(SMALLEST_FACE * min(grey.shape)))
    if min(grey.shape) < smallest:
        return []
    grey = np.ascontiguousarray(grey)
    for cascade in _cascades():
        boxes, _, weights = cascade.detectMultiScale3(
            grey,
            scaleFactor=SCALE_STEP,
            minNeighbors=NEIGHBOURS,
            minSize=(smallest, smallest),
            outputRejectLevels=True,
        )
        if len(boxes):
            scored = zip(boxes * shrink, np.ravel(weights), strict=True)
            faces = [_square_around(box, float(weight), box_side, box_centre) for box, weight in scored]
            return sorted(faces, key=lambda face: (-face.side, face.left, face.top))
    return []


def crop_face(picture: np.ndarray, face: FaceBox) -> np.ndarray:
    """The pixels of a square, the picture's border repeated where it reaches beyond: uint8 [S, S] or [S, S, 3]."""
    side = max(1, round(face.side))
    left, top = round(face.left), round(face.top)
    height, width = picture.shape[:2]
    inside = picture[max(top, 0) : min(top + side, height), max(left, 0) : min(left + side, width)]
    if inside.size == 0:
        raise ValueError(f"{face} lies outside the picture of {width}x{height} pixels")
    before, after = (max(-top, 0), max(-left, 0)), (max(top + side - height, 0), max(left + side - width, 0))
    if not any((*before, *after)):
        return inside
    edges = (before[0], after[0], before[1], after[1])
    return np.asarray(cv2.copyMakeBorder(inside, *edges, cv2.BORDER_REPLICATE))


def central_square(picture: np.ndarray) -> FaceBox:
    """The largest centred square of a picture, for those without a visible face."""
    height, width = picture.shape[:2]
    side = min(height, width)
    return FaceBox((width - side) / 2, (height - side) / 2, side)


def _square_around(box: np.ndarray, score: float, box_side: float, box_centre: tuple[float, float]) -> FaceBox:
    """The square around a detector's box (left, top, width, height)."""
    side = float(box[2]) / box_side
    centre_x, centre_y = box[0] + box[2] / 2, box[1] + box[3] / 2
    return FaceBox(float(centre_x - box_centre[0] * side), float(centre_y - box_centre[1] * side), side, score)


def _cascades() -> list[cv2.CascadeClassifier]:
    if not hasattr(_of_thread, "cascades"):
        _of_thread.cascades = [cv2.CascadeClassifier(os.path.join(MODELS, name)) for name in CASCADES]
    return _of_thread.cascades
