"""From a photo to the face that a network sees: the one way, for packs and for predictions.

A `Framing` records which pictures of a data set were faces already and how faces were cut out of the others. Packs and
checkpoints keep it, so that a prediction frames a picture as the training data were framed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from fer.errors import ConfigError
from fer.faces.detector import BOX_CENTRE, BOX_SIDE, SEARCH_SIDE, FaceBox, central_square, crop_face, find_faces

Faces = Literal["auto", "all", "none"]
Method = Literal["whole", "detector"]
LARGEST_CROP = 95  # pixels of the shorter side: pictures up to this size are taken as face crops
FILLED = 0.6  # of a square picture's side: with so large a face it is a face crop (96 % of PublicTest's are)


@dataclass(frozen=True)
class FramedFaces:
    """The faces of one picture."""

    boxes: list[FaceBox | None]  # None is the whole picture
    faces: np.ndarray  # uint8 [n, S, S], or [n, S, S, 3] for networks of three channels


@dataclass(frozen=True)
class Framing:
    """How pictures become faces; the defaults are for data that say nothing about it.

    Args:
        method: `whole` if every picture of the data set was a face crop, `detector` if some were cut by the detector.
        whole_square: largest side of square pictures that are face crops, pixels; None: of any size.
        whole_other: largest shorter side of other pictures that are face crops, pixels; None: of any size.
        box_side: side of the detector's box as a fraction of the side of the cut square.
        box_centre: centre (x, y) of the detector's box as fractions of the cut square.
    """

    method: Method = "detector"
    whole_square: int | None = LARGEST_CROP
    whole_other: int | None = LARGEST_CROP
    box_side: float = BOX_SIDE
    box_centre: tuple[float, float] = BOX_CENTRE

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> "Framing":
        """Read what `to_dict` wrote; None gives the defaults.

        Raises:
            ConfigError: written by another version, or damaged.
        """
        try:
            framing = cls(**(values or {}))
            centre = (float(framing.box_centre[0]), float(framing.box_centre[1]))
            limits = (framing.whole_square, framing.whole_other)
            if framing.method not in get_args(Method) or not all(isinstance(side, int | None) for side in limits):
                raise ValueError(f"method={framing.method}, whole pictures up to {limits}")
            if not float(framing.box_side) > 0:
                raise ValueError(f"box_side={framing.box_side}")
            return cls(framing.method, *limits, float(framing.box_side), centre)
        except (TypeError, ValueError, LookupError) as error:
            raise ConfigError(f"unknown framing of faces, perhaps of another version ({error})") from error

    @classmethod
    def of_crops(cls, height: int, width: int) -> "Framing":
        """That of a data set of face crops of one size, pixels."""
        record = FramingRecord("none", min(height, width))
        record.add_whole(height, width)
        return record.framing

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return {**asdict(self), "box_centre": list(self.box_centre)}

    def find(self, picture: np.ndarray, faces: Faces = "auto", search_side: int = SEARCH_SIDE) -> list[FaceBox | None]:
        """The faces of a picture, the largest first; None is the whole picture, an empty list is no face.

        Args:
            picture: uint8 [H, W] or [H, W, 3] (RGB).
            faces: `none` takes the whole picture as a face; `all` takes what the detector finds; `auto` decides by
                this framing which pictures are face crops, and runs the detector on the others. A square picture that
                a face fills, or in which none is found, is then a face crop too.
            search_side: see `find_faces`.
        """
        height, width = picture.shape[:2]
        largest_crop = self.whole_square if height == width else self.whole_other
        if faces == "none" or (faces == "auto" and (largest_crop is None or min(height, width) <= largest_crop)):
            return [None]
        found = find_faces(picture, self.box_side, self.box_centre, search_side)
        if faces == "auto" and height == width and (not found or found[0].side >= FILLED * width):
            return [None]
        return [*found]

    def frame(
        self, picture: np.ndarray, size: int, channels: int, faces: Faces = "auto", search_side: int = SEARCH_SIDE
    ) -> FramedFaces:
        """Find the faces of a picture (see `find`) and cut them out, `size` pixels wide, in grey or three channels."""
        boxes = self.find(picture, faces, search_side)
        cut = [_cut(picture, box, size, channels) for box in boxes]
        shape = (size, size) if channels == 1 else (size, size, 3)
        return FramedFaces(boxes, np.stack(cut) if cut else np.empty((0, *shape), np.uint8))


class FramingRecord:
    """Frames the pictures of a data set one by one for its pack, and records how.

    Args:
        faces: `none` for data of face crops, `all` for data of larger pictures, `auto` for folders that may hold both:
            there square pictures and small ones are face crops.
        size: side of the faces that are cut out, pixels.
    """

    def __init__(self, faces: Faces, size: int) -> None:
        self.faces, self.size = faces, size
        self.searched = self.faceless = 0  # pictures
        self._largest_square = self._largest_other = LARGEST_CROP

    def face(self, picture: np.ndarray) -> np.ndarray:
        """The picture as it is, or its largest face; the central square where no face is found."""
        boxes = Framing(whole_square=None).find(picture, self.faces)
        if boxes == [None]:
            self.add_whole(*picture.shape[:2])
            return picture
        self.searched += 1
        self.faceless += not boxes
        return square(crop_face(picture, (boxes[0] if boxes else None) or central_square(picture)), self.size)

    def add_whole(self, height: int, width: int) -> None:
        """Record a picture that is a face crop."""
        if height == width:
            self._largest_square = max(self._largest_square, width)
        else:
            self._largest_other = max(self._largest_other, min(height, width))

    @property
    def framing(self) -> Framing:
        """How the pictures so far were framed."""
        return Framing("detector" if self.searched else "whole", self._largest_square, self._largest_other)


def check_faces(faces: str) -> None:
    """Raises ConfigError where `faces` is none of the words of `Framing.find`."""
    if faces not in get_args(Faces):
        raise ConfigError(
            f"faces={faces}: choose auto (as the model's training data were framed), all (find faces in every picture) "
            "or none (every picture is one face, cut out already)"
        )


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """The central square, resized with antialiasing: uint8 [size, size] or [size, size, 3]."""
    height, width = picture.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS, box=box))


def as_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """Grey, [H, W], or colour, [H, W, 3], as a network wants it."""
    if channels == 1:
        return picture if picture.ndim == 2 else np.asarray(Image.fromarray(picture).convert("L"))
    return picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)


def _cut(picture: np.ndarray, box: FaceBox | None, size: int, channels: int) -> np.ndarray:
    """One face, uint8 [size, size] or [size, size, 3], by the steps of packing in their order."""
    if box is None:
        face = as_channels(picture, channels)
        return face if face.shape[:2] == (size, size) else square(face, size)
    return as_channels(square(crop_face(picture, box), size), channels)
