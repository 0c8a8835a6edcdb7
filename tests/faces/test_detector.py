"""Faces are found where they were put, and cut out as FER2013 cuts them."""

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from itertools import islice

import cv2
import numpy as np
import pytest

from fer.data.datasets.drawn import draw_faces
from fer.errors import FERError
from fer.faces import yunet
from fer.faces.box import FaceBox, central_square, crop_face
from fer.faces.detector import find_faces

SIDE = 160  # of a drawn face within its picture


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    """Ten drawn faces that the detector sees, 160 pixels wide; FER2013's framing is theirs."""
    drawn = draw_faces("demo", faces=(24, 7, 7)).images[:24]
    large = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for image in drawn]
    seen = list(islice((face for face in large if find_faces(picture_with([(face, 200, 100)]))), 10))
    assert len(seen) == 10
    return seen


def picture_with(placed: list[tuple[np.ndarray, int, int]], width: int = 560, height: int = 360) -> np.ndarray:
    picture = np.full((height, width), int(np.median(placed[0][0][0])), dtype=np.uint8)
    for face, left, top in placed:
        picture[top : top + SIDE, left : left + SIDE] = face
    return picture


def overlap(face: FaceBox, left: float, top: float, side: float) -> float:
    """Intersection over union of two squares."""
    across = min(face.left + face.side, left + side) - max(face.left, left)
    down = min(face.top + face.side, top + side) - max(face.top, top)
    shared = max(across, 0) * max(down, 0)
    return shared / (face.side**2 + side**2 - shared)


def test_a_face_is_found_where_it_is(faces: list[np.ndarray]) -> None:
    places = [(20 + 40 * (index % 8), 30 + 20 * (index % 7)) for index in range(len(faces))]
    found = [find_faces(picture_with([(face, *place)])) for face, place in zip(faces, places, strict=True)]
    agreement = [overlap(boxes[0], *place, SIDE) for boxes, place in zip(found, places, strict=True) if boxes]
    assert len(agreement) >= 0.9 * len(faces)
    assert np.median(agreement) > 0.65
    assert all(0.78 <= box.score <= 1 and len(box.landmarks) == 5 for boxes in found for box in boxes)


def test_colour_changes_nothing(faces: list[np.ndarray]) -> None:
    grey = picture_with([(faces[0], 200, 100)])
    box = find_faces(grey)[0]
    colour = find_faces(np.repeat(grey[:, :, None], 3, axis=2))[0]
    assert (colour.left, colour.top, colour.side) == (box.left, box.top, box.side)


@pytest.mark.parametrize("count", [2, pytest.param(10, marks=pytest.mark.slow)])  # 5 million pixels each
def test_a_large_picture_is_searched_small_and_answered_large(count: int, faces: list[np.ndarray]) -> None:
    agreement = []
    for face in faces[:count]:
        grey = picture_with([(face, 200, 100)])
        box = find_faces(grey)[0]
        found = find_faces(cv2.resize(grey, None, fx=5, fy=5, interpolation=cv2.INTER_LINEAR))
        agreement += [overlap(FaceBox(f.left / 5, f.top / 5, f.side / 5), box.left, box.top, box.side) for f in found]
    assert len(agreement) >= 0.9 * len(faces[:count])
    assert np.median(agreement) > 0.7


def test_the_largest_face_comes_first(faces: list[np.ndarray]) -> None:
    picture = picture_with([(faces[0], 380, 100)])
    picture[100:190, 60:150] = cv2.resize(faces[0], (90, 90), interpolation=cv2.INTER_AREA)
    boxes = find_faces(picture)
    assert len(boxes) >= 2
    assert [box.side for box in boxes] == sorted((box.side for box in boxes), reverse=True)
    assert overlap(boxes[0], 380, 100, SIDE) > 0.5


@pytest.mark.parametrize("side", [24, 48, 98, 200])
def test_faces_of_any_size_are_found_in_a_large_picture(faces: list[np.ndarray], side: int) -> None:
    picture = np.random.default_rng(0).normal(120, 12, (1280, 1920)).clip(0, 255).astype(np.uint8)
    places = [(60 + 230 * index, 100 + 140 * index, side) for index in range(8)]
    for face, (left, top, _) in zip(faces, places, strict=False):
        picture[top : top + side, left : left + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    found = find_faces(picture)
    hits = sum(any(overlap(box, *place) > 0.4 for box in found) for place in places)
    assert hits >= (6 if side < 30 else 7)
    assert len(found) <= hits + 1


@pytest.mark.parametrize("degrees", [-45, 20, 45])
def test_tilted_faces_are_found_and_their_tilt_is_known(faces: list[np.ndarray], degrees: int) -> None:
    turn = cv2.getRotationMatrix2D((280, 180), -degrees, 1)
    found = []
    for face in faces[:7]:
        picture = picture_with([(face, 200, 100)])
        found += find_faces(cv2.warpAffine(picture, turn, (560, 360), borderMode=cv2.BORDER_REPLICATE))[:1]
    assert len(found) >= 6
    assert abs(np.median([face.roll for face in found]) - degrees) < 15  # OpenCV 5 measures 13, OpenCV 4 less
    assert np.median([overlap(face, 200, 100, SIDE) for face in found]) > 0.6


@pytest.mark.parametrize("size", [48, 300])
def test_a_face_that_fills_the_picture_is_found(faces: list[np.ndarray], size: int) -> None:
    crops = [cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA) for face in faces]
    assert np.mean([bool(find_faces(crop)) for crop in crops]) >= 0.9


def test_textures_are_no_faces() -> None:
    rng = np.random.default_rng(0)
    rough = [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (3, 10, 30, 90)]
    textures = [cv2.resize(noise, (360, 360), interpolation=cv2.INTER_CUBIC) for noise in rough for _ in range(2)]
    assert [find_faces(texture) for texture in textures] == [[]] * len(textures)


def test_the_model_is_the_one_that_came_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yunet, "SHA256", "0" * 64)
    yunet._model.cache_clear()
    with pytest.raises(FERError, match=r"\.onnx, is damaged; install the package again"):
        yunet._model()
    monkeypatch.undo()
    assert yunet._model().nbytes > 200_000
    licence = files("fer.faces.yunet").joinpath("LICENSE").read_text()
    assert "MIT License" in licence
    assert "Shiqi Yu" in licence


@pytest.mark.parametrize("shape", [(200, 300), (200, 300, 3), (10, 300), (1, 1)])
def test_nothing_is_found_in_nothing(shape: tuple[int, ...]) -> None:
    assert find_faces(np.full(shape, 127, dtype=np.uint8)) == []


def test_threads_find_the_same(faces: list[np.ndarray]) -> None:
    pictures = [picture_with([(face, 200, 100)]) for face in faces[:4]]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(find_faces, pictures)) == [find_faces(picture) for picture in pictures]


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_crop_is_square_and_repeats_the_border(channels: tuple[int, ...]) -> None:
    picture = np.arange(20 * 30 * (3 if channels else 1), dtype=np.uint32).reshape(20, 30, *channels).astype(np.uint8)
    assert np.array_equal(crop_face(picture, FaceBox(4, 2, 10)), picture[2:12, 4:14])
    beyond = crop_face(picture, FaceBox(-5, -4, 30))
    assert beyond.shape == (30, 30, *channels)
    assert np.array_equal(beyond[4:24, 5:], picture[:, :25])
    assert (beyond[:4, 5:] == picture[0, :25]).all()
    assert (beyond[24:, 5:] == picture[-1, :25]).all()
    with pytest.raises(ValueError, match="outside the picture"):
        crop_face(picture, FaceBox(40, 0, 10))


@pytest.mark.parametrize(("height", "width"), [(20, 30), (30, 20), (7, 7)])
def test_without_a_face_the_central_square_stays(height: int, width: int) -> None:
    square = central_square(np.zeros((height, width), np.uint8))
    assert square.side == min(height, width)
    assert square.left + square.side / 2 == width / 2
    assert square.top + square.side / 2 == height / 2
