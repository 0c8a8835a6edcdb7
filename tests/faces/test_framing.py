"""Which part of a picture is the face, and that it is cut out as packing does."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from fer.data.augment import resample
from fer.data.build_pack import build_pack, ensure_pack
from fer.data.pack import Pack, open_pack
from fer.errors import ConfigError, DataError
from fer.faces.box import crop_face
from fer.faces.detector import find_faces
from fer.faces.framing import Framing, FramingRecord, check_faces, choose_faces, is_photograph, square
from fer.faces.resample import as_input

Put = Callable[..., np.ndarray]


def test_several_faces_are_cut_out_as_for_training(seen_faces: list[np.ndarray], put_faces: Put) -> None:
    picture = put_faces([(seen_faces[0], 20, 30), (seen_faces[1], 360, 120)])
    found = find_faces(picture)
    assert len(found) == 2
    framed = Framing().frame(picture, 48, 1, "auto")
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
    pack = open_pack(build_pack(tmp_path, "pack", str(tmp_path / "mine"), store_size=40))
    for photograph, stored in zip(photographs, pack.images, strict=True):
        picture = photograph if channels == 3 else photograph[..., 0]
        assert np.array_equal(Framing().frame(picture, 40, channels, "auto").faces[0], stored)


@pytest.mark.parametrize("shape", [(48, 48), (48, 60), (8, 8), (1, 1), (95, 300)])
def test_small_pictures_are_faces(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    framed = Framing().frame(picture, 48, 1, "auto")
    assert framed.boxes == [None]
    assert framed.faces.shape == (1, 48, 48)
    if shape == (48, 48):
        assert np.array_equal(framed.faces[0], picture)


@pytest.mark.parametrize("shape", [(20, 300), (300, 20), (1, 5), (95, 381)])
def test_strips_are_no_faces(shape: tuple[int, int]) -> None:
    strip = np.full(shape, 90, np.uint8)
    assert Framing().find(strip) == []
    assert Framing().find(strip, "none") == [None]
    record = FramingRecord("auto", 48)
    assert record.face(strip).shape == (48, 48)
    assert (record.searched, record.faceless) == (1, 1)


@pytest.mark.parametrize("framing", [Framing(), Framing("whole"), Framing("whole", whole_square=160)])
def test_a_square_photograph_without_a_face_has_none(framing: Framing) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    assert framing.find(picture) == framing.find(picture, "detector") == []
    assert framing.find(picture, "none") == framing.find(picture, "whole") == [None]  # declared
    assert Framing("whole", None, None).find(picture) == [None]  # trained on whole pictures


def test_a_square_face_is_not_cut_again(seen_faces: list[np.ndarray]) -> None:
    assert all(Framing("whole").frame(face, 48, 1, "auto").boxes == [None] for face in seen_faces)
    assert any(Framing("whole").frame(face, 48, 1, "all").boxes not in ([], [None]) for face in seen_faces)
    assert all(None not in Framing().frame(face, 48, 1, "auto").boxes for face in seen_faces)  # as it cut in training


def test_a_square_photograph_is_searched(seen_faces: list[np.ndarray], put_faces: Put) -> None:
    picture = put_faces([(seen_faces[0], 20, 30), (seen_faces[1], 360, 120)], width=560, height=560)
    assert len(Framing().frame(picture, 48, 1, "auto").boxes) == 2
    assert Framing().frame(picture, 48, 1, "none").boxes == [None]


def test_a_large_picture_without_a_face_has_none() -> None:
    framed = Framing().frame(np.full((200, 300), 90, np.uint8), 48, 3, "auto")
    assert framed.boxes == []
    assert framed.faces.shape == (0, 48, 48, 3)
    assert Framing().frame(np.full((48, 48), 90, np.uint8), 48, 1, "all").boxes == []


def test_faces_searched_small_are_answered_large(seen_faces: list[np.ndarray], put_faces: Put) -> None:
    picture = put_faces([(seen_faces[0], 200, 100)])
    boxes = Framing().frame(np.repeat(np.repeat(picture, 4, 0), 4, 1), 48, 1, "all", smallest=160).boxes
    known = find_faces(picture)[0]
    assert abs(boxes[0].left / 4 - known.left) < 8
    assert abs(boxes[0].side / 4 - known.side) < 12


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ConfigError, match="faces=some"):
        check_faces("some")


def test_pictures_are_framed_as_the_data_that_they_resemble(seen_faces: list[np.ndarray], put_faces: Put) -> None:
    square_crop, wide = seen_faces[0], put_faces([(seen_faces[0], 200, 100)])
    record = FramingRecord("none", 40)
    assert record.face(square_crop) is square_crop
    assert record.framing == Framing("whole", whole_square=160)
    assert record.framing.find(square_crop) == [None]
    assert record.framing.find(wide) == find_faces(wide) != []
    record = FramingRecord("auto", 40)
    assert np.array_equal(record.face(wide), square(crop_face(wide, find_faces(wide)[0]), 40))
    assert record.framing == Framing("detector")
    assert record.framing.find(wide) == find_faces(wide)
    record = FramingRecord("whole", 40)
    assert record.face(wide) is wide
    assert record.framing.find(np.zeros((900, 700), np.uint8)) == [None]
    crops = Framing.of_crops(360, 560)
    assert crops.method == "whole"
    assert crops.find(wide) == [None]


def test_class_folders_are_framed_in_one_way(seen_faces: list[np.ndarray], put_faces: Put) -> None:
    photographs = [put_faces([(face, 20, 30)], width=360, height=360) for face in seen_faces]
    small = [square(photograph, 80) for photograph in photographs]

    def chosen(pictures: list[np.ndarray]) -> str:
        return choose_faces(map(is_photograph, pictures))

    assert chosen(photographs) == chosen([*photographs, *small, seen_faces[0]]) == "auto"
    assert chosen(seen_faces) == chosen([*seen_faces, photographs[0]]) == "none"  # faces fill them
    assert chosen(small) == "none"
    assert chosen([np.zeros((200, 200), np.uint8)] * 3) == "none"  # of what no detector finds, nothing is cut


def test_faces_of_the_cascade_are_cut_by_todays_detector() -> None:
    older = {
        "method": "detector",
        "whole_square": 95,
        "whole_other": 95,
        "box_side": 0.97,
        "box_centre": [0.503, 0.493],
    }
    assert Framing.from_dict(older) == Framing()  # both cut FER2013's square


def test_aligned_faces_have_level_eyes_where_fer2013_has_them(seen_faces: list[np.ndarray], put_faces: Put) -> None:
    framing, errors = Framing(align=True), []
    for face in seen_faces:
        turn = cv2.getRotationMatrix2D((280, 180), 25, 1)
        tilted = cv2.warpAffine(put_faces([(face, 200, 100)]), turn, (560, 360), borderMode=cv2.BORDER_REPLICATE)
        aligned = framing.frame(tilted, 160, 1).faces
        around = cv2.copyMakeBorder(aligned[0], 80, 80, 80, 80, cv2.BORDER_REPLICATE)
        found = find_faces(around)
        if found:
            (left_x, left_y), (right_x, right_y) = found[0].landmarks[:2]
            errors.append((found[0].roll, (left_x + right_x) / 2 - 80 - 79, (left_y + right_y) / 2 - 80 - 61))
    assert len(errors) >= 0.8 * len(seen_faces)
    assert (np.abs(np.median(errors, axis=0)) < 8).all()  # degrees, pixels of 160
    small = square(seen_faces[0], 48)
    assert framing.find(small) == find_faces(small)[:1]  # crops are aligned too
    assert framing.find(np.zeros((48, 48), np.uint8)) == [None]


def test_a_framing_survives_json() -> None:
    framing = Framing("whole", 200, None, 0.9, (0.5, 0.4))
    assert Framing.from_dict(json.loads(json.dumps(framing.to_dict()))) == framing
    assert Framing.from_dict(None) == Framing()
    for damaged in (
        *({"method": "yolo"}, {"detector": "haar"}, {"align": 1}),
        *({"margin": 1}, {"box_centre": 3}, {"whole_square": "all"}),
    ):
        with pytest.raises(ConfigError, match="unknown framing"):
            Framing.from_dict(damaged)


def test_packs_say_how_their_pictures_were_framed(
    write_folder: Callable[..., Path], picture: Callable[..., bytes], tmp_path: Path
) -> None:
    squares = write_folder(tmp_path / "squares", {"happy/1.png": picture(1, (120, 120)), "sad/2.png": picture(2)})
    pack = open_pack(build_pack(tmp_path / "packs", "squares", str(squares), store_size=48))
    assert pack.framing == Framing("whole", whole_square=120)
    wide = write_folder(tmp_path / "wide", {"happy/1.png": picture(1, (120, 160)), "sad/2.png": picture(2)})
    pack = open_pack(build_pack(tmp_path / "packs", "wide", str(wide), store_size=48))
    assert pack.framing == Framing("detector")


def test_packs_are_framed_as_asked(
    write_folder: Callable[..., Path], picture: Callable[..., bytes], tmp_path: Path
) -> None:
    source = str(write_folder(tmp_path / "wide", {"happy/1.png": picture(1, (120, 160)), "sad/2.png": picture(2)}))
    folder = ensure_pack(tmp_path, "whole", source, faces="whole")
    assert open_pack(folder).framing == Framing("whole", None, None)
    assert ensure_pack(tmp_path, "whole", None) == ensure_pack(tmp_path, "whole", None, faces="whole") == folder
    for asked in ({"faces": "none"}, {"align": True}):
        with pytest.raises(DataError, match=r"was made with data\.faces=whole data\.align=false"):
            ensure_pack(tmp_path, "whole", None, **asked)
    assert open_pack(ensure_pack(tmp_path, "level", source, align=True)).framing == Framing("detector", align=True)
    with pytest.raises(ConfigError, match="faces=most"):
        ensure_pack(tmp_path, "new", source, faces="most")


@pytest.mark.parametrize(
    ("manifest", "framing"),
    [
        ({"layout": "pixel table fer2013", "shape": [9, 48, 48]}, Framing("whole")),
        ({"layout": "class folders", "shape": [9, 200, 200]}, Framing("whole", whole_square=200)),
        ({"layout": "class folders", "shape": [9, 48, 48], "store_size": 48}, Framing("detector")),
        ({"layout": "original CK+ sequences", "shape": [9, 48, 48], "store_size": 48}, Framing("detector")),
        ({"layout": "parquet", "shape": [9, 48, 48], "store_size": 48}, Framing("whole")),
    ],
)
def test_older_packs_are_framed_as_their_layout_says(manifest: dict, framing: Framing) -> None:
    nothing = np.empty(0)
    assert Pack(Path("old"), nothing, nothing, nothing, nothing, nothing, manifest).framing == framing


@pytest.mark.parametrize(("side", "size"), [(48, 48), (48, 64), (64, 48), (96, 48), (101, 48), (224, 48), (48, 224)])
def test_without_pytorch_a_network_gets_the_same_levels(side: int, size: int) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    colour = resample(torch.from_numpy(faces).permute(0, 3, 1, 2), size).numpy()
    assert as_input(faces, size) == pytest.approx(colour, abs=1e-5)
    assert as_input(faces[..., 0], size) == pytest.approx(colour[:, :1], abs=1e-5)
