"""Each public distribution becomes the same samples, whatever its files look like."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from given import FACES, colour_face, pack_of, png, table, tar_gz, zipped
from PIL import Image

from fer.data.build_pack import build_pack
from fer.data.datasets import list_samples
from fer.data.datasets.drawn import draw_faces
from fer.data.pack import open_pack
from fer.data.sources import open_source
from fer.errors import DataError
from fer.faces.box import FaceBox, overlap
from fer.faces.detector import find_faces


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("fer2013.csv", table()),
        ("icml_face_data.csv", table("emotion, Usage, pixels")),
        ("fer2013.zip", zipped({"fer2013/fer2013.csv": table(), "fer2013/README": b"as shipped"})),
        ("fer2013.tar.gz", tar_gz({"fer2013/fer2013.csv": table()})),
        (
            "kaggle.zip",
            zipped({"fer2013.tar.gz": tar_gz({"fer2013/fer2013.csv": table()}), "test.csv": b"pixels\n1\n"}),
        ),
        ("both.zip", zipped({"train.csv": table("emotion,pixels"), "icml_face_data.csv": table()})),
    ],
)
def test_the_contest_table_in_every_wrapping(name: str, content: bytes, tmp_path: Path) -> None:
    pack = pack_of(tmp_path, name, content)
    assert np.array_equal(pack.images, FACES)
    assert pack.emotions.tolist() == [
        "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "angry", "happy",
    ]  # fmt: skip
    assert pack.splits.tolist() == ["train", "val", "test"] * 3
    assert not set("=,[] ") & set("".join(pack.names))


def test_a_table_without_splits_trains(tmp_path: Path) -> None:
    assert set(pack_of(tmp_path, "train.csv", table("emotion,pixels")).splits) == {"train"}


def test_tables_named_after_splits_are_one_set(tmp_path: Path) -> None:
    some = {"train.csv": table("emotion,pixels", (0, 1, 2, 3)), "test_set.csv": table("emotion,pixels", (3, 4))}
    pack = pack_of(tmp_path, "both.zip", zipped({**some, "README.csv": b"a,b\n"}))
    assert pack.manifest["counts"]["train"] == {"angry": 1, "disgust": 1, "fear": 1, "happy": 1}
    assert pack.manifest["counts"]["test"] == {"happy": 1, "sad": 1}
    assert [entry["name"] for entry in pack.manifest["rejected"]] == ["README.csv"]
    for other in ("faces.csv", "training.csv"):  # of which nothing tells what it is, or how it differs
        with pytest.raises(DataError, match=r"several tables of faces .*: name them train, val and test"):
            pack_of(tmp_path, f"{other}.zip", zipped({**some, other: table("emotion,pixels", (1,))}))


def test_the_extended_table_knows_contempt_and_words_are_read(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, "ckextended.csv", table(labels=(7, 6, 0, "Happiness", 4, 5, 6, 7, 7)))
    assert pack.emotions[[0, 1, 2, 3]].tolist() == ["contempt", "neutral", "angry", "happy"]
    assert set(pack.subjects) == {""}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (table().replace(b",Training", b"", 1), r"line 2 has 2 fields"),
        (table(labels=(0, 9, 1)), r"line 3: emotion '9'"),
        (table(labels=(0, "bored", 1)), r"line 3: emotion 'bored'"),
        (table().replace(b"PublicTest", b"Holiday"), r"line 3: Usage 'Holiday'"),
        (b"emotion,pixels\n0,1 2 3 4\n1,1 2 3\n", r"line 3: 3 pixels, not 4"),
        (b"emotion,pixels\n0,1 2 x 4\n", r"line 2: its pixels are not whole numbers"),
        (b"emotion,pixels\n0,1 2 3 256\n", r"line 2: a pixel outside"),
        (b"emotion,pixels\n0,\n", r"line 2: 0 pixels"),
        (b"emotion,pixels\n", r"no rows"),
        (b"pixels\n1 2 3 4\n", r"no `emotion` column"),
        (b"name,age\nAda,36\n", r"unknown layout"),
    ],
)
def test_a_malformed_table_is_told_by_file_and_line(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says) as raised:
        pack_of(tmp_path, "faces.csv", content)
    assert "faces.csv" in str(raised.value)
    assert not (tmp_path / "packs" / "set").exists()


@pytest.fixture(scope="module")
def seen_face() -> np.ndarray:
    """A drawn face, 160 pixels wide, that the detector sees within a frame, and squares as FER2013 does."""
    for image in draw_faces("demo", faces=(21, 7, 7)).images:
        face = cv2.resize(image, (160, 160), interpolation=cv2.INTER_CUBIC)
        if any(overlap(box, FaceBox(300, 120, 160)) > 0.85 for box in find_faces(_frame(face))):
            return face
    raise AssertionError("no drawn face is seen")


def _frame(face: np.ndarray) -> np.ndarray:
    frame = np.full((480, 640), int(np.median(face[0])), dtype=np.uint8)
    frame[120:280, 300:460] = face
    return frame


def original_ckplus(folder: Path, face: np.ndarray, lengths: dict[str, int], labels: dict[str, str]) -> Path:
    for sequence, length in lengths.items():
        subject, number = sequence.split("_")
        frames = folder / "cohn-kanade-images" / subject / number
        frames.mkdir(parents=True)
        for frame in range(1, length + 1):
            Image.fromarray(_frame(face)).save(frames / f"{sequence}_{frame:08d}.png")
        if sequence in labels:
            notes = folder / "Emotion" / subject / number
            notes.mkdir(parents=True)
            (notes / f"{sequence}_{length:08d}_emotion.txt").write_text(labels[sequence])
    return folder


def test_original_ckplus_gives_peaks_and_neutral_faces(tmp_path: Path, seen_face: np.ndarray) -> None:
    lengths = {"S005_001": 6, "S005_002": 5, "S010_001": 3, "S011_001": 4}
    labels = {"S005_001": "   3.0000000e+00\n", "S010_001": "1.0", "S011_001": "   7.0000000e+00\n"}
    source = original_ckplus(tmp_path / "CK+", seen_face, lengths, labels)
    pack = open_pack(build_pack(tmp_path, "ckplus", str(source)))
    assert pack.manifest["counts"] == {"all": {"disgust": 3, "surprise": 3, "neutral": 2}}
    of_first = [(e, n[-6:-4]) for e, n, s in zip(pack.emotions, pack.names, pack.subjects, strict=True) if s == "S005"]
    assert of_first == [("neutral", "01"), ("disgust", "04"), ("disgust", "05"), ("disgust", "06")]
    reasons = " ".join(entry["reason"] for entry in pack.manifest["rejected"])
    assert "without a label (5 frames)" in reasons
    assert "only 3 frames" in reasons
    assert pack.images.shape[1:] == (48, 48)
    cropped = cv2.resize(seen_face, (48, 48), interpolation=cv2.INTER_AREA).astype(float)
    assert np.corrcoef(pack.images[0].ravel(), cropped.ravel())[0, 1] > 0.5  # the face fills the crop


def test_frames_that_stand_there_twice_count_once(tmp_path: Path, seen_face: np.ndarray) -> None:
    source = original_ckplus(tmp_path / "CK+", seen_face, {"S005_001": 6}, {"S005_001": "3.0"})
    shutil.copytree(source / "cohn-kanade-images", source / "images")
    pack = open_pack(build_pack(tmp_path, "ckplus", str(source)))
    assert [name[-6:-4] for name in pack.names] == ["01", "04", "05", "06"]
    assert len([entry for entry in pack.manifest["rejected"] if "twice" in entry["reason"]]) == 6


def test_large_frames_of_ckplus_in_class_folders_are_cropped(
    tmp_path: Path, seen_face: np.ndarray, write_folder
) -> None:
    names = [f"happy/S005_001_{frame:08d}.png" for frame in range(1, 4)]
    source = write_folder(tmp_path / "frames", dict.fromkeys(names, png(_frame(seen_face))))
    pack = open_pack(build_pack(tmp_path / "packs", "ckplus", str(source)))
    assert (pack.images.shape[1:], set(pack.subjects)) == ((48, 48), {"S005"})
    cropped = cv2.resize(seen_face, (48, 48), interpolation=cv2.INTER_AREA).astype(float)
    assert np.corrcoef(pack.images[0].ravel(), cropped.ravel())[0, 1] > 0.5
    assert pack.manifest["store_size"] == 48  # another one needs another pack


def test_a_frame_without_a_face_keeps_its_centre(
    tmp_path: Path, seen_face: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    source = original_ckplus(tmp_path / "CK+", np.zeros_like(seen_face), {"S005_001": 4}, {"S005_001": "5.0"})
    pack = open_pack(build_pack(tmp_path, "ckplus", str(source)))
    assert len(pack) == 4
    assert "no face was found in 4 of 4" in caplog.text


def test_a_label_of_ckplus_that_is_none(tmp_path: Path, seen_face: np.ndarray) -> None:
    source = original_ckplus(tmp_path / "CK+", seen_face, {"S005_001": 4}, {"S005_001": "9.0"})
    with pytest.raises(DataError, match=r"S005_001_00000004_emotion\.txt holds '9\.0'"):
        build_pack(tmp_path, "ckplus", str(source))


def test_rafdb(tmp_path: Path, write_folder) -> None:
    labels = "train_00001.jpg 5\ntrain_00002.jpg 1\ntest_0001.jpg 7\n"
    names = ("train_00001", "train_00002", "test_0001", "test_0002")
    files = {f"basic/Image/aligned/{name}_aligned.jpg": colour_face(i, 100) for i, name in enumerate(names)}
    source = write_folder(tmp_path / "raf", files | {"basic/EmoLabel/list_patition_label.txt": labels.encode()})
    pack = open_pack(build_pack(tmp_path, "rafdb", str(source)))
    assert pack.manifest["counts"] == {"train": {"sad": 1, "surprise": 1}, "test": {"neutral": 1}}
    assert pack.images.shape == (3, 100, 100, 3)
    assert [entry["name"] for entry in pack.manifest["rejected"]] == ["basic/Image/aligned/test_0002_aligned.jpg"]
    (source / "basic/EmoLabel/list_patition_label.txt").write_text(labels + "train_00003.jpg 8\n")
    with pytest.raises(DataError, match="line 4"):
        build_pack(tmp_path, "other", str(source))


def test_the_list_of_rafdb_in_other_writing(tmp_path: Path, write_folder) -> None:
    """Names of the aligned files, commas, UTF-16; a label without its face is told, one that is said twice refused."""
    labels = "train_00001_aligned.jpg,5\r\ntest_0001_aligned.jpg,7\r\ntest_0002_aligned.jpg,7\r\n"
    files = {f"aligned/{name}_aligned.JPG": colour_face(7, 100) for name in ("train_00001", "test_0001")}
    for encoding in ("utf-8-sig", "utf-16"):
        source = write_folder(tmp_path / encoding, files | {"list_patition_label.txt": labels.encode(encoding)})
        pack = open_pack(build_pack(tmp_path, f"raf_{encoding}", str(source)))
        assert pack.manifest["counts"] == {"train": {"sad": 1}, "test": {"neutral": 1}}
        assert pack.manifest["rejected"] == [
            {"name": "list_patition_label.txt/test_0002", "reason": "a label without its face"}
        ]
    (source / "list_patition_label.txt").write_text("train_00001.jpg 5\ntest_0001.jpg 7\ntrain_00001.jpg 4\n")
    with pytest.raises(DataError, match="line 3: train_00001 is labelled 5 and 4"):
        build_pack(tmp_path, "twice", str(source))


@pytest.mark.parametrize("in_folders", [True, False])
def test_other_numberings_of_rafdb_are_refused(in_folders: bool, tmp_path: Path, write_folder) -> None:
    """From 0 to 6 each face would get the emotion of another class."""
    rows = [(f"train_{i:05d}_aligned.jpg", i) for i in range(7)]
    files = {f"train/{code if in_folders else 'faces'}/{name}": colour_face(code, 60) for name, code in rows}
    if not in_folders:
        files["train_labels.csv"] = "\n".join(["image,label", *(f"{name},{code}" for name, code in rows)]).encode()
    with pytest.raises(DataError, match=r"numbered 0, 1, 2, 3, 4, 5, 6, its authors' 1 to 7 \(1 surprise"):
        build_pack(tmp_path, "rafdb", str(write_folder(tmp_path / "raf", files)))


def test_rafdb_in_numbered_folders_as_copies_ship_it(tmp_path: Path, write_folder) -> None:
    names = ["train/5/train_00001_aligned.jpg", "train/7/train_00002_aligned.jpg", "test/1/test_0001_aligned.jpg"]
    files = {f"DATASET/{name}": colour_face(i, 100) for i, name in enumerate([*names, "val/4/train_00003_aligned.jpg"])}
    files["DATASET/train/2/train_00004_aligned.jpg"] = colour_face(9, 100)
    files["train_labels.csv"] = b"image,label\ntrain_00001_aligned.jpg,5\ntrain_00004_aligned.jpg,3\n"
    pack = open_pack(build_pack(tmp_path, "mine", str(write_folder(tmp_path / "raf", files))))
    assert pack.manifest["counts"] == {"train": {"sad": 1, "neutral": 1}, "val": {"happy": 1}, "test": {"surprise": 1}}
    assert pack.manifest["dataset"] == "rafdb"
    assert pack.manifest["rejected"] == [
        {"name": "DATASET/train/2/train_00004_aligned.jpg", "reason": "its folder and its table say 2 and 3"}
    ]


def test_rafdb_with_tables_beside_flat_folders(tmp_path: Path, write_folder) -> None:
    files = {f"train/train_0000{i}_aligned.jpg": colour_face(i, 100) for i in range(3)}
    files["train_labels.csv"] = b"image,label\ntrain_00000_aligned.jpg,5\ntrain_00001_aligned.jpg,4\n"
    pack = open_pack(build_pack(tmp_path, "rafdb", str(write_folder(tmp_path / "raf", files))))
    assert pack.manifest["counts"] == {"train": {"happy": 1, "sad": 1}}
    assert [entry["name"] for entry in pack.manifest["rejected"]] == ["train/train_00002_aligned.jpg"]


def test_a_folder_within_a_folder_opens_its_archives(tmp_path: Path) -> None:
    (tmp_path / "download").mkdir()
    (tmp_path / "download" / "set.zip").write_bytes(zipped({"happy/1.png": png(FACES[0])}))
    with open_source(tmp_path / "download") as source:
        assert [sample.name for sample in list_samples(source).samples] == ["set/happy/1.png"]


def test_own_photographs_are_cropped_to_the_face_and_crops_stay(
    tmp_path: Path, seen_face: np.ndarray, write_folder
) -> None:
    crop = cv2.resize(seen_face, (48, 48), interpolation=cv2.INTER_AREA)
    files = {
        "happy/photo.png": png(_frame(seen_face)),
        "happy/crop.png": png(crop),
        "sad/empty.png": png(_frame(0 * seen_face)),
    }
    pack = open_pack(build_pack(tmp_path / "packs", "mine", str(write_folder(tmp_path / "mine", files))))
    stored = dict(zip(pack.names.tolist(), pack.images, strict=True))
    assert np.array_equal(stored["happy/crop.png"], crop)
    assert np.corrcoef(stored["happy/photo.png"].ravel().astype(float), crop.ravel().astype(float))[0, 1] > 0.5
    centre = cv2.resize(_frame(0 * seen_face)[:, 80:560], (48, 48), interpolation=cv2.INTER_AREA)
    assert abs(stored["sad/empty.png"].astype(int) - centre).mean() < 4
