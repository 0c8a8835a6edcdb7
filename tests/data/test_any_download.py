"""Whatever a download holds: packed or refused in one line, and no picture is lost without a word."""

import io
import os
import tarfile
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from fer.data.build_pack import build_pack
from fer.data.left_out import left_out_lines
from fer.data.pack import open_pack
from fer.data.split_words import settled, split_word
from fer.data.table_text import table_format
from fer.emotions import EMOTIONS, emotion_name, nearest_emotion
from fer.errors import DataError
from tests.generated import checking


def png(shade: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((4, 4), shade, np.uint8)).save(content, "PNG")
    return content.getvalue()


PARTS = st.sampled_from(
    [
        *("train", "Training", "PublicTest", "PrivateTest", "dev", "eval", "val", "TEST", "not_train", "more"),
        *("happy", "Sad", "fear faces", "Suprise", "Neural", "angry", "happy_train", "S010", "0", "1", "7"),
        *("Manually_Annotated_Images", "annotations", "images", "train_set", "Überraschung", "a b", "x=1,[y]"),
    ]
)
FILES = st.sampled_from(
    [
        *("1.png", "2.JPG", "train_00001_aligned.jpg", "Training_3.png", "PublicTest_4.png"),
        *("S010_004_00000017.png", "labels.csv", "training.csv", "fer2013.csv", "notes.txt", "1_exp.npy"),
        *("a.parquet", "list_patition_label.txt"),
    ]
)
WORDS = st.sampled_from(
    [
        *("emotion", "pixels", "Usage", "split", "image", "label", "expression", "subDirectory_filePath", "face_x"),
        *("0", "3", "happy", "1 2 3 4", "0 0 0 256", "Training", "dev", "train_00001_aligned.jpg", "images/1.png"),
        *('"', "", "-1"),
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    separator = draw(st.sampled_from(",;\t|: "))
    rows = draw(st.lists(st.lists(WORDS, min_size=1, max_size=5), max_size=5))
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(separator.join(row) for row in rows)
    return text.encode(
        draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])), "replace"
    )


CONTENTS = st.one_of(
    st.integers(0, 255).map(png),
    tables(),
    st.binary(max_size=40),
    st.just(png(0)[:40]),
    st.just(b"version https://git-lfs.github.com/spec/v1\n"),
    st.just(b"<!DOCTYPE html><title>Sign in</title>"),
)
PATHS = st.builds(lambda folders, file: "/".join([*folders, file]), st.lists(PARTS, max_size=3), FILES)
TREES = st.dictionaries(PATHS, CONTENTS, min_size=1, max_size=8)
LINKS = st.dictionaries(PATHS, PATHS | st.sampled_from([".", "..", "/nowhere", "happy", "train"]), max_size=4)


def packed_or_refused(source: Path, root: Path, names: set[str]) -> None:
    """Packs, and checks that every picture is in the pack or among what was left out."""
    try:
        pack = open_pack(build_pack(root, "set", str(source)))
    except DataError as error:
        assert "\n" not in str(error)
        assert not root.exists() or not list(root.iterdir())
        return
    assert len(pack) == len(pack.images) == sum(sum(by.values()) for by in pack.manifest["counts"].values())
    assert not any(name.startswith(("/", "..")) for name in pack.names)
    assert len(set(pack.names.tolist())) == len(pack)
    assert set(pack.splits) <= {"train", "val", "test", "all"}
    left = [entry["name"] for entry in pack.manifest["rejected"]]
    if pack.manifest["layout"].startswith(("class folders", "RAF-DB")):
        told = {*pack.names.tolist(), *left}
        read = {os.path.realpath(source / name) for name in told}  # a picture may be packed by a link to it
        unread = {name for name in names - told if os.path.realpath(source / name) not in read}
        lost = {name for name in unread if not any(name.startswith(f"{each}/") for each in left)}
        once = "train.zip" in left  # what it holds is beside it, which the log says
        assert once or not {name for name in lost if name.lower().endswith((".png", ".jpg"))}
    assert max(map(len, left_out_lines((name, "") for name in left)), default=0) < 500


def any_folder(files: dict[str, bytes], links: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        source, names = Path(place) / "source", set()
        for name, content in files.items():
            path = source / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            except OSError:  # a file where a folder is wanted
                continue
            names.add(name)
        for name, target in links.items():
            path = source / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(target if target.startswith(("/", ".")) else source / target)
            except OSError:
                continue
            names |= set() if path.is_dir() else {name}
        packed_or_refused(source, Path(place) / "packs", names)


def any_tar(files: dict[str, bytes], links: dict[str, str], twice: bool) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz" if twice else "w") as archive:
        for name, data in [*files.items(), *(list(files.items())[:1] if twice else [])]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for number, (name, target) in enumerate(links.items()):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = (tarfile.SYMTYPE, tarfile.LNKTYPE)[number % 2], target
            archive.addfile(member)
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "download.csv"
        source.write_bytes(content.getvalue())
        packed_or_refused(source, Path(place) / "packs", {*files, *links})


def any_zip_in_zip(files: dict[str, bytes], others: dict[str, bytes]) -> None:
    inner, outer = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        for name, data in others.items():
            archive.writestr(name, data)
    with zipfile.ZipFile(outer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("train.zip", inner.getvalue())
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "download.zip"
        source.write_bytes(outer.getvalue())
        packed_or_refused(source, Path(place) / "packs", {*files, *(f"train/{name}" for name in others)})


def any_name(text: str) -> None:
    emotion, split = emotion_name(text), split_word(text)
    assert emotion is None or emotion in EMOTIONS
    assert emotion is None or nearest_emotion(text) == emotion
    assert nearest_emotion(text) in (None, *EMOTIONS)
    assert split in (None, "train", "val", "test", "eval")
    assert split_word(text.upper()) == split_word(text.lower()) or not text.isascii()


def any_bytes_as_table(content: bytes) -> None:
    form = table_format(io.BytesIO(content))
    assert form.separator in ",;\t|" or len(form.separator) == 1
    assert form.skipped >= 0


def any_splits(splits: list[str]) -> None:
    means = settled(splits)
    assert means.keys() == set(splits)
    assert Counter(means.values())["test"] <= 1


PROPERTIES = {
    "folder": (any_folder, (TREES, LINKS)),
    "tar": (any_tar, (TREES, LINKS, st.booleans())),
    "zip_in_zip": (any_zip_in_zip, (TREES, TREES)),
    "name": (
        any_name,
        (
            st.text("aAeEtTrRiInNhHpPyYsSdD_- .0１éßÜ中", max_size=30)
            | st.builds(lambda a, b: f"{a}_{b}", PARTS, PARTS),
        ),
    ),
    "table": (any_bytes_as_table, (st.binary(max_size=200) | tables(),)),
    "splits": (any_splits, (st.lists(st.sampled_from(["train", "val", "test", "eval"])),)),
}

test_generated_cases = checking(PROPERTIES)
