"""Which part of a picture is the face, and that it is cut out as packing does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer.data.buffer import square
from fer.data.build_pack import make_pack
from fer.data.pack import open_pack
from fer.errors import ConfigError
from fer.faces.detector import crop_face, find_faces
from fer.faces.framing import check_faces, frame

Put = Callable[..., np.ndarray]


def test_several_faces_are_cut_out_as_for_training(seen_faces: list[np.ndarray], put_faces: Put) -> None:
    picture = put_faces([(seen_faces[0], 20, 30), (seen_faces[1], 360, 120)])
    found = find_faces(picture)
    assert len(found) == 2
    framed = frame(picture, "auto", 48, 1)
    assert framed.boxes == found
    expected = [square(crop_face(picture, box), 48) for box in found]
    assert np.array_equal(framed.faces, np.stack(expected))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_photograph_is_cut_out_as_packing_would(
    seen_faces: list[np.ndarray], put_faces: Put, tmp_path: Path, channels: int
) -> None:
    tint = np.array([1, 0.9, 0.8]) if channels == 3 else np.ones(3)
    photographs = [(put_faces([(face, 200, 100)])[..., None] * tint).astype(np.uint8) for face in seen_faces[:4]]
    folder = tmp_path / "mine" / "happy"
    folder.mkdir(parents=True)
    for number, photograph in enumerate(photographs):
        Image.fromarray(photograph).save(folder / f"{number}.png")
    pack = open_pack(make_pack(tmp_path, "pack", str(tmp_path / "mine"), store_size=40))
    for photograph, stored in zip(photographs, pack.images, strict=True):
        picture = photograph if channels == 3 else photograph[..., 0]
        assert np.array_equal(frame(picture, "auto", 40, channels).faces[0], stored)


@pytest.mark.parametrize("shape", [(48, 48), (48, 60), (8, 8), (1, 1), (95, 300), (200, 200)])
def test_small_and_square_pictures_are_faces(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    framed = frame(picture, "auto", 48, 1)
    assert framed.boxes == [None]
    assert framed.faces.shape == (1, 48, 48)
    if shape == (48, 48):
        assert np.array_equal(framed.faces[0], picture)


def test_a_square_face_is_not_cut_again(seen_faces: list[np.ndarray]) -> None:
    assert all(frame(face, "auto", 48, 1).boxes == [None] for face in seen_faces)
    assert any(frame(face, "all", 48, 1).boxes not in ([], [None]) for face in seen_faces)


def test_a_square_photograph_is_searched(seen_faces: list[np.ndarray], put_faces: Put) -> None:
    picture = put_faces([(seen_faces[0], 20, 30), (seen_faces[1], 360, 120)], width=560, height=560)
    assert len(frame(picture, "auto", 48, 1).boxes) == 2
    assert frame(picture, "none", 48, 1).boxes == [None]


def test_a_large_picture_without_a_face_has_none() -> None:
    framed = frame(np.full((200, 300), 90, np.uint8), "auto", 48, 3)
    assert framed.boxes == []
    assert framed.faces.shape == (0, 48, 48, 3)
    assert frame(np.full((48, 48), 90, np.uint8), "all", 48, 1).boxes == []


def test_faces_searched_small_are_answered_large(seen_faces: list[np.ndarray], put_faces: Put) -> None:
    picture = put_faces([(seen_faces[0], 200, 100)])
    boxes = frame(np.repeat(np.repeat(picture, 4, 0), 4, 1), "all", 48, 1, search_side=560).boxes
    known = find_faces(picture)[0]
    assert abs(boxes[0].left / 4 - known.left) < 8
    assert abs(boxes[0].side / 4 - known.side) < 12


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ConfigError, match="faces=some"):
        check_faces("some")
