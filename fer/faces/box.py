"""Squares around faces, and the pixels within them."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

# Where the eyes of FER2013's crops are: medians of 365 PublicTest faces, as fractions of the crop's side.
EYES = (0.494, 0.381)  # x and y of the point between them
EYE_DISTANCE = 0.359
EYES_TO_MOUTH = 0.363  # from that point to the one between the corners of the mouth

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class FaceBox:
    """A square around a face, in pixels of the picture; it may reach beyond the picture's edges."""

    left: float
    top: float
    side: float
    score: float = 0.0  # of the detector, from 0 to 1
    landmarks: Points = ()  # x, y of the eyes, the tip of the nose, and the corners of the mouth; left to right

    @property
    def centre(self) -> tuple[float, float]:
        """x and y."""
        return self.left + self.side / 2, self.top + self.side / 2

    @property
    def roll(self) -> float:
        """How far the head is tilted: the angle of the line through the eyes, degrees, clockwise; 0 if unknown."""
        if not self.landmarks:
            return 0.0
        (left_x, left_y), (right_x, right_y) = self.landmarks[:2]
        return math.degrees(math.atan2(right_y - left_y, right_x - left_x))


def overlap(one: FaceBox, other: FaceBox) -> float:
    """Intersection over union of two squares."""
    across = min(one.left + one.side, other.left + other.side) - max(one.left, other.left)
    down = min(one.top + one.side, other.top + other.side) - max(one.top, other.top)
    shared = max(across, 0) * max(down, 0)
    return shared / (one.side**2 + other.side**2 - shared)


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


def crop_upright(picture: np.ndarray, face: FaceBox) -> np.ndarray:
    """The pixels of a face turned and moved so that the eyes are level and where FER2013's crops have them.

    Its scale is that of the distance between the eyes, or of that from the eyes to the mouth if it is relatively
    larger: a head turned to the side has its eyes closer together.

    Args:
        picture: uint8 [H, W] or [H, W, 3].
        face: with landmarks.

    Returns:
        uint8 [S, S] or [S, S, 3] at the scale of the picture, whose border is repeated.
    """
    points = np.array(face.landmarks)
    eyes, mouth = points[:2].mean(axis=0), points[3:5].mean(axis=0)
    between = math.dist(points[0], points[1]) / EYE_DISTANCE
    side = max(1, round(max(between, math.dist(eyes, mouth) / EYES_TO_MOUTH)))
    turn = cv2.getRotationMatrix2D(tuple(eyes.tolist()), face.roll, 1.0)
    turn[:, 2] += np.array(EYES) * side - eyes
    upright = cv2.warpAffine(picture, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(upright)


def central_square(picture: np.ndarray) -> FaceBox:
    """The largest centred square of a picture, for those without a visible face."""
    height, width = picture.shape[:2]
    side = min(height, width)
    return FaceBox((width - side) / 2, (height - side) / 2, side)
