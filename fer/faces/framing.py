"""The faces of a picture, cut out and sized as packing does it: what the network sees is what it was trained on."""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import Image

from fer.data.buffer import square
from fer.data.build_pack import SMALLEST_PHOTOGRAPH
from fer.errors import ConfigError
from fer.faces.detector import FaceBox, crop_face, find_faces

Faces = Literal["auto", "all", "none"]
FILLS = 0.6  # of a square picture's side: a face as large as that was cut out already (96 % of PublicTest's)


@dataclass(frozen=True)
class Framed:
    """The faces of one picture."""

    boxes: list[FaceBox | None]  # None is the whole picture
    faces: np.ndarray  # uint8 [n, S, S], or [n, S, S, 3] for networks of three channels


def check_faces(faces: str) -> None:
    """Raises ConfigError where `faces` is no word that `frame` knows."""
    if faces not in get_args(Faces):
        raise ConfigError(
            f"faces={faces}: choose auto (find them; small pictures are faces already), all (find them) or none "
            "(every picture is one face, cut out already)"
        )


def frame(picture: np.ndarray, faces: Faces, size: int, channels: int, search_side: int | None = None) -> Framed:
    """Find the faces of a picture and cut them out.

    Args:
        picture: uint8 [H, W] or [H, W, 3] (RGB).
        faces: `none` takes the whole picture as a face; `all` takes what the detector finds; `auto` does that too,
            except that a picture with a side under 96 pixels, or a square one which a face fills or in which none is
            found, is a face cut out already.
        size: side S of the faces, pixels.
        channels: 1 makes them grey.
        search_side: longer side at which faces are looked for, pixels; None leaves that to `find_faces`.
    """
    boxes = _boxes(picture, faces, search_side)
    cut = [_cut(picture, box, size, channels) for box in boxes]
    shape = (size, size) if channels == 1 else (size, size, 3)
    return Framed(boxes, np.stack(cut) if cut else np.empty((0, *shape), np.uint8))


def _boxes(picture: np.ndarray, faces: Faces, search_side: int | None) -> list[FaceBox | None]:
    height, width = picture.shape[:2]
    whole: list[FaceBox | None] = [None]
    if faces == "none" or (faces == "auto" and min(height, width) < SMALLEST_PHOTOGRAPH):
        return whole
    found: list[FaceBox | None] = [*_find(picture, search_side)]
    if faces == "auto" and height == width and (not found or _largest(found) >= FILLS * width):
        return whole
    return found


def _find(picture: np.ndarray, search_side: int | None) -> list[FaceBox]:
    height, width = picture.shape[:2]
    shrink = 1.0 if search_side is None else max(height, width) / search_side
    if shrink <= 1:
        return find_faces(picture)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    found = find_faces(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    return [FaceBox(box.left * shrink, box.top * shrink, box.side * shrink, box.score) for box in found]


def _largest(boxes: list[FaceBox | None]) -> float:
    return max(box.side for box in boxes if box is not None)


def _cut(picture: np.ndarray, box: FaceBox | None, size: int, channels: int) -> np.ndarray:
    """One face, uint8 [size, size] or [size, size, 3], by the steps of packing in their order."""
    if box is None:
        face = as_channels(picture, channels)
        return face if face.shape[:2] == (size, size) else square(face, size)
    return as_channels(square(crop_face(picture, box), size), channels)


def as_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """Grey, [H, W], or colour, [H, W, 3], as a network wants it."""
    if channels == 1:
        return picture if picture.ndim == 2 else np.asarray(Image.fromarray(picture).convert("L"))
    return picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
