"""Whatever bytes a source holds, packing ends in a whole pack or in one line."""

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fer.data.build_pack import build_pack
from fer.data.pack import open_pack
from fer.errors import DataError

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)

words = st.sampled_from(
    ["0", "3", "6", "7", "8", "-1", "", "happy", "x", "0 1 2 3", "255 0 0 256", "Training", "Test", '"']
)
tables = st.builds(
    lambda header, rows, end: (",".join(header) + "\n" + "\n".join(",".join(row) for row in rows)).encode() + end,
    st.permutations(["emotion", " pixels", "Usage"]).map(list) | st.just(["emotion", "pixels"]),
    st.lists(st.lists(words, min_size=1, max_size=4), max_size=5),
    st.sampled_from([b"", b"\n", b"\xff\xfe", b'"']),
)
NAMES = [
    "happy/1.png",
    "sad/1.png",
    "train/fear/2.jpg",
    "../happy/1.png",
    "/happy/2.png",
    "happy/",
    ".hidden/sad/1.png",
    "happy/a.zip",
    "x.csv",
    "a.parquet",
    "train_set/annotations/1_exp.npy",
    "train_set/images/1.jpg",
    "EmoLabel/list_patition_label.txt",
    "aligned/train_00001_aligned.jpg",
    "Emotion/S005/001/S005_001_00000011_emotion.txt",
    "S005/001/S005_001_00000011.png",
]
names = st.sampled_from(NAMES)


def _picture() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(content, "PNG")
    return content.getvalue()


contents = st.binary(max_size=40) | st.just(_picture()) | st.just(_picture()[:50]) | tables


def packs_or_says_why(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, root = Path(folder) / name, Path(folder) / "packs"
        source.write_bytes(content)
        try:
            pack = open_pack(build_pack(root, "set", str(source)))
        except DataError as error:
            assert "\n" not in str(error)
            assert not (root / "set").exists()
        else:
            assert len(pack) == len(pack.images) == sum(sum(by.values()) for by in pack.manifest["counts"].values())
            assert not any(name.startswith(("/", "..")) for name in pack.names)
        assert not root.exists() or [entry.name for entry in root.iterdir()] in ([], ["set"])
        assert {entry.name for entry in Path(folder).iterdir()} <= {name, "packs"}


@EXAMPLES
@given(tables | st.binary(max_size=60))
def test_any_table(content: bytes) -> None:
    packs_or_says_why("faces.csv", content)


@EXAMPLES
@given(st.dictionaries(names, contents, max_size=4), st.integers(0, 200))
def test_any_archive(files: dict[str, bytes], cut: int) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    whole = content.getvalue()
    packs_or_says_why("faces.zip", whole if cut < 150 else whole[: len(whole) - (cut - 150)])


@EXAMPLES
@given(st.binary(max_size=80), st.sampled_from(["faces.zip", "faces.tar.gz", "faces.tar", "faces.parquet", "faces"]))
def test_any_bytes(content: bytes, name: str) -> None:
    packs_or_says_why(name, content)
