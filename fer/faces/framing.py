"""From a photo to the face that a network sees: the one way, for packs and for predictions.

A `Framing` records which pictures of a data set were faces already and how faces were cut out of the others. Packs and
checkpoints keep it, so that a prediction frames a picture as the training data were framed.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from fer.errors import ConfigError
from fer.faces.box import FaceBox, central_square, crop_face, crop_upright
from fer.faces.detector import BOX_CENTRE, BOX_SIDE, SMALLEST, find_faces
from fer.faces.resample import square, to_grey

Faces = Literal["auto", "detector", "none", "whole", "all"]  # all: the earlier word for detector
Method = Literal["whole", "detector"]
DETECTOR = "yunet"
LARGEST_CROP = 95  # pixels of the shorter side: pictures up to this size are taken as face crops
LONGEST_CROP = 4  # longer side / shorter side: what is longer is no face crop
FILLED = 0.6  # of a square picture's side: with so large a face it is a face crop (96 % of PublicTest's are)
SAMPLE = 60  # pictures of class folders that tell whether all are face crops


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
        detector: whose box that is.
        align: whether faces are turned so that the eyes are level, and scaled by the distance between them.
    """

    method: Method = "detector"
    whole_square: int | None = LARGEST_CROP
    whole_other: int | None = LARGEST_CROP
    box_side: float = BOX_SIDE
    box_centre: tuple[float, float] = BOX_CENTRE
    detector: str = DETECTOR
    align: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> "Framing":
        """Read what `to_dict` wrote; None gives the defaults.

        Older versions searched with OpenCV's cascade, and do not name it. The squares they cut are FER2013's crop, as
        those of this version are: only the box within the square differs, and is replaced.

        Raises:
            ConfigError: written by another version, or damaged.
        """
        values = values or {}
        try:
            framing = cls(**values)
            centre = (float(framing.box_centre[0]), float(framing.box_centre[1]))
            limits = (framing.whole_square, framing.whole_other)
            if framing.method not in get_args(Method) or not all(isinstance(side, int | None) for side in limits):
                raise ValueError(f"method={framing.method}, whole pictures up to {limits}")
            if framing.detector != DETECTOR or type(framing.align) is not bool or not float(framing.box_side) > 0:
                raise ValueError(f"detector={framing.detector}, align={framing.align}, box_side={framing.box_side}")
        except (TypeError, ValueError, LookupError) as error:
            raise ConfigError(f"unknown framing of faces, perhaps of another version ({error})") from error
        if "detector" not in values:
            return replace(framing, box_side=BOX_SIDE, box_centre=BOX_CENTRE)
        return replace(framing, box_side=float(framing.box_side), box_centre=centre)

    @classmethod
    def of_crops(cls, height: int, width: int) -> "Framing":
        """That of a data set of face crops of one size, pixels."""
        record = FramingRecord("none", min(height, width))
        record.add_whole(height, width)
        return record.framing

    @property
    def options(self) -> str:
        """What of it a reader can choose, as options of packing; data that differ here look different."""
        faces = "whole" if self.whole_square is None else "detector or none"
        return f"data.faces={faces} data.align={str(self.align).lower()}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return {**asdict(self), "box_centre": list(self.box_centre)}

    def find(self, picture: np.ndarray, faces: Faces = "auto", smallest: float = SMALLEST) -> list[FaceBox | None]:
        """The faces of a picture, the largest first; None is the whole picture, an empty list is no face.

        Args:
            picture: uint8 [H, W] or [H, W, 3] (RGB).
            faces: `none` (the pictures are face crops) and `whole` take the picture as it is; `detector` takes what is
                found; `auto` decides by this framing which pictures are face crops, and searches the others. Where all
                of training was face crops, a square picture that a face fills is one too.
            smallest: see `find_faces`.
        """
        height, width = picture.shape[:2]
        largest_crop = self.whole_square if height == width else self.whole_other
        whole = faces in ("none", "whole")
        whole |= faces == "auto" and (largest_crop is None or may_be_crop(picture, largest_crop))
        if whole and not self.align:
            return [None]
        found = find_faces(picture, self.box_side, self.box_centre, smallest)
        if whole:
            return [*found[:1]] or [None]
        if faces == "auto" and self.method == "whole" and not self.align and is_filled(picture, found):
            return [None]
        return [*found]

    def frame(
        self, picture: np.ndarray, size: int, channels: int, faces: Faces = "auto", smallest: float = SMALLEST
    ) -> FramedFaces:
        """Find the faces of a picture (see `find`) and cut them out, `size` pixels wide, in grey or three channels."""
        boxes = self.find(picture, faces, smallest)
        cut = [_cut(picture, box, size, channels, self.align) for box in boxes]
        shape = (size, size) if channels == 1 else (size, size, 3)
        return FramedFaces(boxes, np.stack(cut) if cut else np.empty((0, *shape), np.uint8))


class FramingRecord:
    """Frames the pictures of a data set one by one for its pack, and records how.

    Args:
        faces: `none` for data of face crops, `whole` for pictures that are more than a face and stay whole, `detector`
            for data of larger pictures, `auto` for those among which small pictures are face crops.
        size: side of the faces that are cut out, pixels.
        align: see `Framing`.
    """

    def __init__(self, faces: Faces, size: int, align: bool = False) -> None:
        self.faces, self.size, self.align = faces, size, align
        self.searched = self.faceless = 0  # pictures
        self._counting = threading.Lock()  # for several threads may give pictures, in any order
        self._largest_square = self._largest_other = LARGEST_CROP

    def face(self, picture: np.ndarray) -> np.ndarray:
        """The picture as it is, or its largest face; the central square where no face is found."""
        if self.faces in ("none", "whole") or (self.faces == "auto" and may_be_crop(picture, LARGEST_CROP)):
            self.add_whole(*picture.shape[:2])
            found = find_faces(picture) if self.align else []
            return square(_pixels(picture, found[0], True), self.size) if found else picture
        found = find_faces(picture)
        self.add_searched(bool(found))
        box = found[0] if found else central_square(picture)
        return square(_pixels(picture, box, self.align), self.size)

    def add_whole(self, height: int, width: int) -> None:
        """Record a picture that is a face crop."""
        with self._counting:
            if height == width:
                self._largest_square = max(self._largest_square, width)
            else:
                self._largest_other = max(self._largest_other, min(height, width))

    def add_searched(self, found: bool = True) -> None:
        """Record a picture whose face was cut out of it, or was not found."""
        with self._counting:
            self.searched += 1
            self.faceless += not found

    @property
    def framing(self) -> Framing:
        """How the pictures so far were framed."""
        if self.faces == "whole":
            return Framing("whole", None, None, align=self.align)
        method: Method = "detector" if self.searched else "whole"
        return Framing(method, self._largest_square, self._largest_other, align=self.align)


def may_be_crop(picture: np.ndarray, largest: int) -> bool:
    """Whether the shorter side of a picture is at most `largest` pixels, and the picture is no strip."""
    shorter, longer = sorted(picture.shape[:2])
    return shorter <= largest and longer <= LONGEST_CROP * shorter


def choose_faces(sample: Iterable[bool | None]) -> Faces:
    """`none` where the pictures of class folders are face crops, else `auto`, which searches all but the small ones.

    A data set is framed in one way, so that no face is cut where the next one stays whole.

    Args:
        sample: `is_photograph` of some pictures of the data set.
    """
    larger = [photograph for photograph in sample if photograph is not None]
    return "auto" if 2 * sum(larger) > len(larger) else "none"


def is_photograph(picture: np.ndarray) -> bool | None:
    """Whether a picture is not square, or a face is found in it that does not fill it; None: too small to tell.

    Args:
        picture: uint8 [H, W] or [H, W, 3].
    """
    height, width = picture.shape[:2]
    if min(height, width) <= LARGEST_CROP:
        return None
    if height != width:
        return True
    found = find_faces(picture)
    return bool(found) and not is_filled(picture, found)


def is_filled(picture: np.ndarray, found: Sequence[FaceBox]) -> bool:
    """Whether a picture is square, and the first of its faces fills it."""
    height, width = picture.shape[:2]
    return height == width and bool(found) and found[0].side >= FILLED * width


def check_faces(faces: str) -> None:
    """Raises ConfigError where `faces` is none of the words of `Framing.find`."""
    if faces not in get_args(Faces):
        raise ConfigError(
            f"faces={faces}: choose auto (as the training data were framed), detector (find faces in every picture), "
            "none (every picture is one face, cut out already) or whole (every picture as it is)"
        )


def as_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """Grey, [H, W], or colour, [H, W, 3], as a network wants it."""
    if channels == 1:
        return picture if picture.ndim == 2 else to_grey(picture)
    return picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)


def _cut(picture: np.ndarray, box: FaceBox | None, size: int, channels: int, align: bool) -> np.ndarray:
    """One face, uint8 [size, size] or [size, size, 3], by the steps of packing in their order."""
    if box is None:
        face = as_channels(picture, channels)
        return face if face.shape[:2] == (size, size) else square(face, size)
    return as_channels(square(_pixels(picture, box, align), size), channels)


def _pixels(picture: np.ndarray, box: FaceBox, align: bool) -> np.ndarray:
    """The pixels of a face, uint8 [S, S] or [S, S, 3]."""
    return crop_upright(picture, box) if align and box.landmarks else crop_face(picture, box)
