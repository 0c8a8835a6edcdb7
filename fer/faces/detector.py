"""Faces in larger pictures: found, and squared as FER2013 crops them. Packing and prediction share this.

YuNet (see `fer.faces.yunet`) looks twice. It first searches the whole picture at several sizes, with the threshold so
low that small, tilted and blurred faces pass. Each candidate is then cut out, turned upright, brought to one size, and
looked at again, as it is and a little larger and mirrored: the mean of these two scores is the face's. Seen from afar,
with its surroundings, it must still look a little like a face, which knots of grass and printed words do not. Where no
candidate is confirmed, the picture is searched once more with its border repeated around it, and turned to either side.

Its box and FER2013's crop have the same centre: on 365 of 400 PublicTest faces, enlarged to 160 pixels with their
border repeated, the mean of the box's width and height is 0.90 of the crop's side (quartiles 0.82 and 0.98), and its
centre lies at (0.500, 0.499) of it (quartiles 0.474 to 0.529 across, 0.457 to 0.530 down).
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from fer.faces import yunet
from fer.faces.box import FaceBox, crop_face, overlap

BOX_SIDE = 0.90  # side of the detector's box as a fraction of the side of FER2013's crop
BOX_CENTRE = (0.5, 0.5)  # its centre (x, y) as fractions of FER2013's crop
SMALLEST = 24.0  # pixels of the side of a face that is searched
CLEAR = 44.0  # pixels to which the smallest faces are enlarged for the search
MAX_SEARCHED = 22e6  # pixels of the largest size at which a picture is searched
STEP = 4  # between the sizes at which a picture is searched
OVERVIEW = 320  # pixels of the longer side: smaller pictures are enlarged to it, and larger ones searched down to it
TILE, SHARED = 1600, 128  # side of the parts in which a picture is searched, and what two parts share, pixels
LOOK = 256  # side of what a second look sees, pixels
NEAR, NEARER, FAR = 144, 190, (100, 72)  # sides of the candidate within it
WORTH_ANOTHER_LOOK = 0.5  # score from near
MIN_SCORE, MIN_SCORE_FAR = 0.78, 0.35  # mean score from near and nearer; best score from afar
MAX_CANDIDATES = 400
SURROUNDINGS = 0.3  # border that is added where nothing was found, of the longer side
TURNS = (-35.0, 35.0)  # degrees by which the picture is turned where nothing was found
UPRIGHT = 8.0  # degrees of tilt at which a face need not be turned
SAME_PLACE = 0.35  # centres of one face lie closer, as a fraction of its side


def find_faces(
    picture: np.ndarray,
    box_side: float = BOX_SIDE,
    box_centre: tuple[float, float] = BOX_CENTRE,
    smallest: float = SMALLEST,
) -> list[FaceBox]:
    """The faces of a picture, the largest first, by default framed as FER2013 frames them.

    Args:
        picture: uint8 [H, W] or [H, W, 3] (RGB).
        box_side: side of the detector's box as a fraction of the side of the square that is returned.
        box_centre: its centre (x, y) as fractions of that square.
        smallest: side of the smallest faces to search, pixels; larger ones are found faster. Pictures of more than
            9 million pixels are searched for larger faces only: `sqrt(pixels / 9 million) * 24` pixels.

    Returns:
        Squares that may reach beyond the picture; an empty list where no face is seen.
    """
    colours = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR if picture.ndim == 2 else cv2.COLOR_RGB2BGR)
    found = _confirmed(colours, _candidates(colours, smallest))
    if not found:
        found = _confirmed(colours, _further_candidates(colours))
    squares = [_square(face, box_side, box_centre) for face in found]
    return sorted(squares, key=lambda face: (-face.side, face.left, face.top))


def _candidates(picture: np.ndarray, smallest: float) -> list[FaceBox]:
    """What may be a face in any part of a picture, at any size from `smallest` on."""
    height, width = picture.shape[:2]
    scale = min(CLEAR / smallest, math.sqrt(MAX_SEARCHED / (height * width)))
    scale = max(scale, OVERVIEW / max(height, width))
    found = []
    while True:
        resized = _resized(picture, scale)
        for left, top, part in _parts(resized):
            found += [_moved(box, left, top, scale) for box in _boxes(part)]
        if max(resized.shape) <= 1.25 * OVERVIEW:
            return found
        scale /= STEP


def _further_candidates(picture: np.ndarray) -> list[FaceBox]:
    """What may be a face that is cut by the picture's edges, or tilted."""
    scale = 1.5 * OVERVIEW / max(picture.shape[:2])
    resized = _resized(picture, scale)
    border = round(SURROUNDINGS * max(resized.shape[:2]))
    surrounded = cv2.copyMakeBorder(resized, border, border, border, border, cv2.BORDER_REPLICATE)
    found = [_moved(box, -border, -border, scale) for box in _boxes(surrounded)]
    height, width = surrounded.shape[:2]
    for degrees in TURNS:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        turned = cv2.warpAffine(surrounded, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        back = cv2.invertAffineTransform(turn)
        found += [_moved(_mapped(box, back), -border, -border, scale) for box in _boxes(turned)]
    return found


def _confirmed(picture: np.ndarray, candidates: list[FaceBox]) -> list[FaceBox]:
    """The candidates that a second look takes for faces, each once."""
    faces: list[FaceBox] = []
    for candidate in sorted(candidates, key=lambda box: -box.score)[:MAX_CANDIDATES]:
        if any(_same(candidate, face) for face in faces):
            continue
        face = _second_look(picture, candidate)
        if face is not None and not any(_same(face, other) for other in faces):
            faces.append(face)
    return faces


def _second_look(picture: np.ndarray, candidate: FaceBox) -> FaceBox | None:
    """The face where a candidate is, with the mean score of two looks; None where none is seen."""
    face = _look(picture, candidate, NEAR)
    if face is None or face.score < WORTH_ANOTHER_LOOK:
        return None
    if abs(face.roll - candidate.roll) > UPRIGHT:  # it was not turned far enough, and its landmarks lean to upright
        face = _look(picture, face, NEAR) or face
    nearer = _look(picture, face, NEARER, mirrored=True)
    score = (face.score + (0.0 if nearer is None else nearer.score)) / 2
    if score < MIN_SCORE:
        return None
    from_afar = (_look(picture, face, side, mirrored) for side in FAR for mirrored in (False, True))
    return replace(face, score=score) if any(box and box.score >= MIN_SCORE_FAR for box in from_afar) else None


def _look(picture: np.ndarray, face: FaceBox, side: int, mirrored: bool = False) -> FaceBox | None:
    """What is seen at a place that is cut out, turned upright, and resized so that the face is `side` pixels wide.

    A mirrored face is answered with its score alone.
    """
    (x, y), reach = face.centre, face.side * LOOK / side
    height, width = picture.shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        return None
    cut = FaceBox(x - reach / 2, y - reach / 2, reach)
    pixels = crop_face(picture, cut)
    scale = LOOK / len(pixels)
    pixels = _resized(pixels, scale)
    degrees = face.roll if abs(face.roll) > UPRIGHT else 0.0
    turn = cv2.getRotationMatrix2D((LOOK / 2, LOOK / 2), degrees, 1.0)
    if degrees:
        pixels = cv2.warpAffine(pixels, turn, (LOOK, LOOK), borderMode=cv2.BORDER_REPLICATE)
    here = FaceBox((LOOK - side) / 2, (LOOK - side) / 2, side)
    seen = [box for box in _boxes(pixels[:, ::-1] if mirrored else pixels) if _same(box, here)]
    if not seen:
        return None
    best = max(seen, key=lambda box: box.score)
    if mirrored:
        return replace(face, score=best.score)
    return _moved(
        _mapped(best, cv2.invertAffineTransform(turn)), round(cut.left) * scale, round(cut.top) * scale, scale
    )


def _same(one: FaceBox, other: FaceBox) -> bool:
    """Whether two boxes are of one face."""
    side = max(one.side, other.side)
    apart = math.dist(one.centre, other.centre)
    return overlap(one, other) > yunet.MAX_OVERLAP or (
        apart < SAME_PLACE * side and min(one.side, other.side) > side / 2
    )


def _boxes(picture: np.ndarray) -> list[FaceBox]:
    """What looks like a face, uint8 [H, W, 3] (BGR), as squares of the mean of its width and height."""
    boxes = []
    for left, top, width, height, *points, score in yunet.hits(picture).tolist():
        side = (width + height) / 2
        landmarks = tuple(zip(points[::2], points[1::2], strict=True))
        boxes.append(FaceBox(left + (width - side) / 2, top + (height - side) / 2, side, score, landmarks))
    return boxes


def _parts(picture: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Left, top and pixels of overlapping parts of a picture, so that memory does not grow with it."""
    down, across = (_extents(length) for length in picture.shape[:2])
    for top, bottom in down:
        for left, right in across:
            yield left, top, picture[top:bottom, left:right]


def _extents(length: int) -> list[tuple[int, int]]:
    """Starts and ends of the fewest parts of up to TILE pixels that cover a length and share SHARED pixels."""
    count = max(1, math.ceil((length - SHARED) / (TILE - SHARED)))
    step = (length - SHARED) / count
    return [(round(k * step), min(length, round((k + 1) * step) + SHARED)) for k in range(count)]


def _resized(picture: np.ndarray, scale: float) -> np.ndarray:
    height, width = picture.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (width, height):
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))


def _moved(box: FaceBox, left: float, top: float, scale: float) -> FaceBox:
    """A box of a part, that starts at (left, top), of a resized picture, in pixels of the picture."""
    return _mapped(box, np.array([[1, 0, left], [0, 1, top]]) / scale)


def _mapped(box: FaceBox, matrix: np.ndarray) -> FaceBox:
    """A box after an affine map, float [2, 3], that turns, scales and moves; it stays upright around its new centre."""
    side = box.side * math.hypot(*matrix[:, 0])
    (x, y), *landmarks = (np.array([box.centre, *box.landmarks]) @ matrix[:, :2].T + matrix[:, 2]).tolist()
    return FaceBox(x - side / 2, y - side / 2, side, box.score, tuple((x, y) for x, y in landmarks))


def _square(face: FaceBox, box_side: float, box_centre: tuple[float, float]) -> FaceBox:
    """The square that is cut out around a detector's box."""
    side, (x, y) = face.side / box_side, face.centre
    return replace(face, left=x - box_centre[0] * side, top=y - box_centre[1] * side, side=side)
