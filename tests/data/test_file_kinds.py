"""What a file is, its content says; what cannot be read is refused by a true sentence."""

import bz2
import gzip
import io
import lzma
import re
import shutil
import zipfile

import numpy as np
import pytest
from given import FACES, pack_of, png, table, tar_gz, zipped

from fer.data.table_text import table_format
from fer.errors import DataError

COMMAS = table().decode()
LINES = COMMAS.splitlines()
LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "angry", "happy"]
SEMICOLONS = "\n".join(line.replace(",", ";") for line in LINES)
NAMED = {
    "semicolon.csv": SEMICOLONS.encode(),
    "quoted.csv": "\n".join(";".join(f'"{field}"' for field in line.split(",")) for line in LINES).encode(),
    "excel.csv": b"sep=;\r\n" + SEMICOLONS.replace("\n", "\r\n").encode(),
    "tab.csv": COMMAS.replace(",", "\t").encode(),
    "table.tsv": COMMAS.replace(",", "\t").encode(),
    "bar.csv": COMMAS.replace(",", "|").encode(),
    "fer2013.txt": table(),
    "no_suffix": table(),
    "utf8_mark.csv": b"\xef\xbb\xbf" + table(),
    "utf16.csv": COMMAS.encode("utf-16"),
    "utf16_be.csv": b"\xfe\xff" + COMMAS.encode("utf-16-be"),
    "utf16_no_mark.csv": COMMAS.encode("utf-16-le"),
    "utf32.csv": COMMAS.encode("utf-32"),
    "old_mac.csv": COMMAS.replace("\n", "\r").encode(),
    "blank_lines.csv": b"\n\n" + table(),
    "fer2013.csv.gz": gzip.compress(table()),
    "fer2013.csv.bz2": bz2.compress(table()),
    "fer2013.csv.xz": lzma.compress(table()),
    "gzip.csv": gzip.compress(table()),
    "tar.csv": tar_gz({"fer2013/fer2013.csv": table()}, kind=""),
    "tar_gz.csv": tar_gz({"fer2013/fer2013.csv": table()}),
    "zip.csv": zipped({"fer2013.csv": table()}),
    "table.tar.gz": gzip.compress(table()),
    "csv.zip": table(),
    "tar.zip": tar_gz({"fer2013.csv": table()}),
    "gz_in_zip.zip": zipped({"deep/fer2013.csv.gz": gzip.compress(table())}),
    "tar_in_zip.zip": zipped({"fer2013.csv": tar_gz({"fer2013.csv": table()}, kind="")}),
    "utf16_gz.csv": gzip.compress(COMMAS.encode("utf-16")),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_table_is_read_by_its_content(name, tmp_path):
    pack = pack_of(tmp_path, name, NAMED[name])
    assert (pack.images == FACES).all()
    assert pack.splits.tolist() == ["train", "val", "test"] * 3
    assert pack.manifest["rejected"] == []


def test_a_zip_named_csv_in_a_folder_and_a_gzip_beside_pictures(tmp_path, write_folder):
    from fer.data.build_pack import build_pack
    from fer.data.pack import open_pack

    folder = write_folder(tmp_path / "download", {"sub/fer2013.csv": zipped({"fer2013.csv": table()}), "b.txt": b"x"})
    pack = open_pack(build_pack(tmp_path / "packs", "set", str(folder)))
    assert (pack.images == FACES).all()
    assert [entry["name"] for entry in pack.manifest["rejected"]] == ["b.txt"]


PAGE = b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 46827520\n"


def workbook():
    return zipped({"xl/workbook.xml": b"<x/>", "[Content_Types].xml": b"<x/>"})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("fer2013.csv", PAGE, "is a web page, not the file itself: download it again"),
        ("fer2013.zip", PAGE, "is a web page"),
        ("fer2013.csv", POINTER, "is a Git LFS pointer"),
        ("train.parquet", POINTER, "is a Git LFS pointer"),
        ("fer2013.csv", workbook(), "is an Excel workbook: save its sheet as .csv"),
        ("fer2013.zip", b"Rar!\x1a\x07\x00" + bytes(99), "is a RAR archive: unpack it"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(99), "is a 7z archive: unpack it"),
        ("fer2013.csv", b"\x80\x04\x95" + bytes(99), "is a Python pickle, which is never unpacked"),
        ("fer2013.csv.gz", gzip.compress(PAGE, mtime=0), "is a web page"),
        ("in.zip", zipped({"data/fer2013.csv": POINTER}), "fer2013.csv is a Git LFS pointer"),
        ("in.zip", zipped({"data/train.zip": POINTER}), "train.zip is a Git LFS pointer"),
        ("colon.csv", COMMAS.replace(",", ":").encode(), "separated by none of comma, semicolon, tab"),
        ("bare.csv", "\n".join(LINES[1:]).encode(), "has no header"),
        ("cut.csv", COMMAS.encode("utf-16")[:-1], "is damaged or no UTF-16 text"),
        ("latin.csv", table().replace(b"Training", b"Tr\xe4ining"), "is damaged or no UTF-8 text"),
        ("none.csv", b"a;b\n1;2\n", "unknown layout"),
        ("none.csv", b"", "is an empty file: download it again"),
        ("none.zip", b"", "is an empty file"),
        ("in.zip", zipped({"happy/1.png": png(FACES[0]), "sad.zip": b""}), r"sad\.zip is an empty file"),
        (
            "in.zip",
            zipped({"images/1.png": png(FACES[0]), "labels.csv": b"image,emotion\n1.png,happy\n"}),
            r"labels\.csv is a table \(image,emotion\).*sort the pictures into a folder for each emotion",
        ),
        ("zeros.csv", bytes(5000), "found no file at all"),
        ("happy.png", png(FACES[0]), "is a single picture: give the folder"),
        ("happy.mp4", b"\0\0\0\x18ftypmp42" + bytes(99), r"is a video: scripts/predict\.py"),
        ("fer2013.npy", b"\x93NUMPY\x01\0" + bytes(99), "is a NumPy array"),
        ("fer2013.mat", b"MATLAB 5.0 MAT-file", "is a MATLAB file"),
        ("fer2013.zip.001", zipped({"happy/1.png": png(FACES[0])})[:60], "is one part of an archive in parts"),
        ("fer2013.zip.crdownload", zipped({"a.csv": table()})[:60], "is a download that was not finished"),
        ("other.bin", b"\1\2\3" * 99, r"or table \(is other\.bin truncated\?\)$"),
    ],
    ids=lambda value: "bytes" if isinstance(value, bytes) else None,  # archives hold the time: ids differ by worker
)
def test_what_is_no_table_is_told_as_it_is(name, content, says, tmp_path):
    with pytest.raises(DataError, match=says) as told:
        pack_of(tmp_path, name, content)
    assert "\n" not in str(told.value)


def test_archives_that_are_not_read_are_told_beside_pictures(tmp_path):
    files = {"train/happy/1.png": png(FACES[0]), "train/sad/1.png": png(FACES[1]), "test.7z": b"7z\xbc\xaf\x27\x1c"}
    pack = pack_of(tmp_path, "a.zip", zipped(files))
    assert pack.manifest["rejected"] == [{"name": "test.7z", "reason": "a 7z archive: unpack it and give the folder"}]


def test_what_windows_adds_is_no_data(tmp_path):
    """`Thumbs.db` begins as workbooks of Excel do."""
    added = {
        "happy/Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(999),
        "Desktop.ini": b"[.ShellClassInfo]\r\n",
    }
    pictures = {"happy/1.png": png(FACES[0]), "sad/1.png": png(FACES[1]), "sad/2.png": b""}
    pack = pack_of(tmp_path, "a.zip", zipped(pictures | added))
    assert pack.manifest["rejected"] == [
        {"name": "sad/2.png", "reason": "cannot be read as a picture: an empty file: download it again"}
    ]


def _with_pixels(write) -> bytes:
    rows = ["emotion,pixels,Usage", *(f'{i},"{write(FACES[i].ravel().tolist())}",Training' for i in range(7))]
    return "\n".join(rows).encode()


@pytest.mark.parametrize(
    "write", [str, lambda levels: " ".join(f"{level}.0" for level in levels), lambda levels: ",".join(map(str, levels))]
)
def test_pixels_as_pandas_writes_them(write, tmp_path):
    pack = pack_of(tmp_path, "fer2013.csv", _with_pixels(write))
    assert np.array_equal(pack.images, FACES[:7])


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda levels: f"[{levels[0]} {levels[1]} ... {levels[-1]}]", "cut short where they were written"),
        (lambda levels: " ".join(str(level / 255) for level in levels), "not whole numbers separated by spaces$"),
        (lambda levels: " ".join(map(str, levels[1:])), "35 pixels, not a square number"),
    ],
)
def test_pixels_that_are_none_are_refused(write, says, tmp_path):
    with pytest.raises(DataError, match=says):
        pack_of(tmp_path, "fer2013.csv", _with_pixels(write))


def test_labels_as_3_0_are_read_and_numbers_from_1_refused(tmp_path):
    as_floats = re.sub(rb"(?m)^(\d),", rb"\1.0,", table())
    emotions = pack_of(tmp_path, "fer2013.csv", b"\xef\xbb\xbf" + as_floats.replace(b"\n", b"\r\n")).emotions
    assert emotions.tolist()[:3] == ["angry", "disgust", "fear"]
    with pytest.raises(DataError, match="numbered 1 to 7, those of FER2013 0 to 6"):
        pack_of(tmp_path, "other.csv", table(labels=(1, 2, 3, 4, 5, 6, 7, 1, 2)))


def test_words_beside_numbers_are_the_labels(tmp_path):
    """Numbers of another order than FER2013's shifted every emotion in silence."""
    words = sorted(set(LABELS))
    rows = [
        f"{words.index(word)},{word.title()},{' '.join(map(str, FACES[n].ravel()))}" for n, word in enumerate(LABELS)
    ]
    for header in ("emotion,emotion_name,pixels", "label,class,pixels", "code,emotion_text,pixels"):
        pack = pack_of(tmp_path, "faces.csv", "\n".join([header, *rows]).encode())
        assert pack.emotions.tolist() == LABELS
        shutil.rmtree(tmp_path / "packs")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (table(labels=(1, 2, 3, 4, 5, 6, 1, 2, 3)), "numbered 1 to 6, those of FER2013 0 to 6"),
        (table().replace(b"emotion,pixels,Usage", b"emotion,pixels,emotion"), "has 2 columns named emotion"),
        (table().replace(b"emotion,pixels,Usage", b"kind,pixels,Usage"), r"no `emotion` column \(kind,pixels,Usage\)"),
        (table().replace(b"pixels", b"pixel"), r"is a table \(emotion,pixel,Usage\): `pixels` is the column"),
    ],
)
def test_columns_that_say_too_little_or_too_much(content, says, tmp_path):
    with pytest.raises(DataError, match=says):
        pack_of(tmp_path, "faces.csv", content)


def test_pictures_that_are_pointers_or_pages_are_told(tmp_path):
    files = {"happy/1.png": png(FACES[0]), "happy/2.png": POINTER, "happy/3.jpg": PAGE}
    pack = pack_of(tmp_path, "a.zip", zipped(files))
    reasons = {entry["name"]: entry["reason"] for entry in pack.manifest["rejected"]}
    assert "a Git LFS pointer" in reasons["happy/2.png"]
    assert "a web page" in reasons["happy/3.jpg"]


def test_the_header_says_how_a_table_is_separated():
    form = table_format(io.BytesIO(b'sep=|\n"Emotion" | pixels |Usage\n'))
    assert (form.columns, form.separator, form.skipped) == (("emotion", "pixels", "usage"), "|", 1)


def test_columns_that_say_the_label_and_the_split_have_other_names_too(tmp_path):
    renamed = table().replace(b"emotion,pixels,Usage", b"label,pixels,Split").replace(b"PublicTest", b"dev")
    assert pack_of(tmp_path, "faces.csv", renamed).splits.tolist() == ["train", "val", "test"] * 3


def test_a_lone_table_named_after_a_split_is_that_split(tmp_path):
    assert set(pack_of(tmp_path, "test.csv", table("emotion,pixels")).splits) == {"test"}


def test_a_damaged_zip_within_a_zip_named_csv(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.csv", zipped({"fer2013.csv": table()})[:-30])
    with pytest.raises(DataError, match="damaged"):
        pack_of(tmp_path, "a.zip", content.getvalue())
