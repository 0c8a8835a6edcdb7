"""AffectNet in the layouts that its owners have shipped."""

import io
from pathlib import Path

import numpy as np
import pytest
from given import colour_face, png

from fer.data.build_pack import build_pack
from fer.data.pack import open_pack
from fer.errors import DataError


def test_affectnet(tmp_path: Path, write_folder) -> None:
    def code(value: object) -> bytes:
        content = io.BytesIO()
        np.save(content, value)  # type: ignore[arg-type]
        return content.getvalue()

    files = {f"train_set/images/{i}.jpg": colour_face(i, 24) for i in range(3)}
    files |= {f"train_set/annotations/{i}_exp.npy": code(str(label)) for i, label in enumerate((1, 7, 9))}
    files |= {"val_set/images/5.jpg": colour_face(5, 24), "val_set/annotations/5_exp.npy": code("6")}
    files |= {"train_set/annotations/0_aro.npy": code("0.5")}
    files |= {"val_set/images/6.jpg": colour_face(6, 24), "val_set/annotations/6_exp.npy": b"\x80\x04K\x01."}
    pack = open_pack(build_pack(tmp_path, "affectnet", str(write_folder(tmp_path / "affect", files))))
    assert pack.manifest["counts"] == {"train": {"happy": 1, "contempt": 1}, "test": {"angry": 1}}
    reasons = {entry["name"]: entry["reason"] for entry in pack.manifest["rejected"]}
    assert reasons == {
        "train_set/images/2.jpg": "expression 9 is none of the eight",
        "val_set/images/6.jpg": "no expression",
    }


def annotations(rows: list[tuple[object, ...]]) -> bytes:
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    lines = [header, *(f"{path},{x},{y},{w},{h},1.0;2.0,{code},0.1,-2" for path, x, y, w, h, code in rows)]
    return "\n".join(lines).encode()


def test_affectnet_as_it_was_shipped_first(tmp_path: Path, write_folder, caplog) -> None:
    """Tables, whole pictures of any size, the box of each face; codes from 8 are no emotion."""
    picture = np.zeros((80, 120), np.uint8)
    picture[20:60, 50:90] = 255
    files = {f"Manually_Annotated_Images/{i % 2}/{i}.jpg": colour_face(i, 96) for i in range(9)}
    files["Manually_Annotated_Images/7/face.png"] = png(picture)
    files["Automatically_Annotated_Images/0/90.jpg"] = colour_face(90, 96)
    train = [(f"{i % 2}/{i}.jpg", 0, 0, 96, 96, i) for i in range(5)] + [("0/8.jpg", 0, 0, 96, 96, 8)]
    files["training.csv"] = annotations([*train, ("7/face.png", 50, 20, 40, 40, 6), ("9/none.jpg", 0, 0, 9, 9, 1)])
    files["validation.csv"] = annotations([("1/5.jpg", 0, 0, 96, 96, 5), ("0/6.jpg", 0, 0, 96, 96, 7)])
    files["automatically_annotated.csv"] = annotations([("0/90.jpg", 0, 0, 96, 96, 1)])
    source = write_folder(tmp_path / "affect", files)
    pack = open_pack(build_pack(tmp_path, "affectnet", str(source), store_size=32))
    assert pack.manifest["counts"] == {
        "train": {"angry": 1, "fear": 1, "happy": 1, "sad": 1, "surprise": 1, "neutral": 1},
        "test": {"disgust": 1, "contempt": 1},
    }
    assert pack.manifest["dataset"] == "affectnet"
    assert pack.images[pack.names.tolist().index("Manually_Annotated_Images/7/face.png")].min() > 250
    reasons = {entry["name"]: entry["reason"] for entry in pack.manifest["rejected"]}
    assert reasons == {
        "automatically_annotated.csv": "labelled by a program: give it alone to train on it",
        "training/9/none.jpg": "an annotation without its face",
        "Manually_Annotated_Images/0/8.jpg": "expression 8 is none of the eight",
        "Manually_Annotated_Images/1/7.jpg": "a picture without annotation",
        "Automatically_Annotated_Images/0/90.jpg": "a picture without annotation",
    }


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("0/0.jpg", 0, 0, "x", 96, 1)], r"training\.csv, line 2: the box of its face is no four numbers"),
        ([("0/none.jpg", 0, 0, 96, 96, 1)], "are in Manually_Annotated_Images beside it.*an annotation without its"),
        ([("0/0.jpg", 0, 0, 96, 96, -2)], "no picture with an emotion .*expression -2 is none of the eight"),
        ([("0/0.jpg,3", 0, 0, 96, 96, 1)], r"line 2 has 10 fields, its header 9"),
    ],
)
def test_a_malformed_table_of_affectnet(rows, says, tmp_path: Path, write_folder) -> None:
    files = {"Manually_Annotated_Images/0/0.jpg": colour_face(0, 96), "training.csv": annotations(rows)}
    with pytest.raises(DataError, match=says):
        build_pack(tmp_path, "affectnet", str(write_folder(tmp_path / "affect", files)))


@pytest.mark.parametrize(("train", "val"), [("train", "val"), ("Training", "validation"), ("train_set", "val_set")])
def test_the_parts_of_affectnet_have_several_names(train: str, val: str, tmp_path: Path, write_folder) -> None:
    content = io.BytesIO()
    np.save(content, np.array(1))
    files = {}
    for number, part in enumerate((train, val)):
        files[f"{part}/images/{number}.jpg"] = colour_face(number, 24)
        files[f"{part}/annotations/{number}_exp.npy"] = content.getvalue()
    pack = open_pack(build_pack(tmp_path, "affectnet", str(write_folder(tmp_path / "affect", files))))
    assert pack.manifest["counts"] == {"train": {"happy": 1}, "test": {"happy": 1}}


def test_tables_of_affectnet_in_other_writing(tmp_path: Path, write_folder) -> None:
    """No header (as of its validation.csv), codes as 3.0 or words, endings in another case, boxes of other pictures."""
    names = [f"{part}/{i}.jpg" for part in "ab" for i in range(4)]
    files = {f"Manually_Annotated_Images/{name}".replace(".jpg", ".JPG"): colour_face(1, 96) for name in names}
    where = [(0, 0, 96, 96), (400, 9, 50, 50), (9, -90, 50, 50), (60, 60, 90, 90)]
    files["training.csv"] = annotations([(names[i], *box, f"{i}.0") for i, box in enumerate(where)])
    rows = annotations([(names[4 + i], 0, 0, 96, 96, code) for i, code in enumerate((3, 4, 5, 7))])
    files["validation.csv"] = rows.split(b"\n", 1)[1]
    pack = open_pack(build_pack(tmp_path, "affectnet", str(write_folder(tmp_path / "affect", files)), store_size=32))
    assert pack.manifest["counts"] == {
        "train": {"surprise": 1, "neutral": 1},
        "test": {"disgust": 1, "fear": 1, "surprise": 1, "contempt": 1},
    }
    assert {entry["name"][-7:]: entry["reason"] for entry in pack.manifest["rejected"]} == {
        f"a/{i}.JPG": "the box of its face lies outside the picture" for i in (1, 2)
    }


@pytest.mark.parametrize("write", [np.array, lambda code: np.array([code]), lambda code: np.array(f"{code}.0")])
def test_a_test_part_of_affectnet_and_pictures_elsewhere(write, tmp_path: Path, write_folder) -> None:
    files = {"more/9.jpg": colour_face(9, 64)}
    for part in ("train_set", "val_set", "test_set"):
        content = io.BytesIO()
        np.save(content, write(1))
        files |= {f"{part}/images/1.webp": colour_face(1, 64), f"{part}/annotations/1_exp.npy": content.getvalue()}
    pack = open_pack(build_pack(tmp_path, "affectnet", str(write_folder(tmp_path / "affect", files))))
    assert pack.manifest["counts"] == {"train": {"happy": 1}, "val": {"happy": 1}, "test": {"happy": 1}}
    assert [entry["name"] for entry in pack.manifest["rejected"]] == ["more/9.jpg"]
