"""Parquet files of the Hugging Face hub name their classes and splits."""

import json
from pathlib import Path

import numpy as np
import pytest
from given import FACES, png

from fer.data.build_pack import build_pack
from fer.data.pack import open_pack
from fer.errors import DataError


def parquet(
    path: Path, labels: list[object], names: object = ("happy", "anger"), column: str = "label", first: int = 0
) -> Path:
    import pyarrow.parquet

    faces = FACES[first : first + len(labels)]
    rows = {"image": [{"bytes": png(face), "path": None} for face in faces], column: labels}
    content = pyarrow.table(rows)
    if names:
        info = {"info": {"features": {column: {"names": names, "_type": "ClassLabel"}}}}
        content = content.replace_schema_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(content, path, row_group_size=2)
    return path


def test_parquet_names_its_classes_and_splits(tmp_path: Path) -> None:
    parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet", [0, 1, -1, 1])
    parquet(tmp_path / "hub" / "data" / "validation-00000-of-00001.parquet", [1])
    parquet(tmp_path / "hub" / "data" / "test-00000-of-00001.parquet", [0, 0])
    pack = open_pack(build_pack(tmp_path / "packs", "hub", str(tmp_path / "hub")))
    assert pack.manifest["counts"] == {"train": {"angry": 2, "happy": 1}, "val": {"angry": 1}, "test": {"happy": 2}}
    assert np.array_equal(pack.images[pack.splits == "train"], FACES[[0, 1, 3]])
    assert "no label" in str(pack.manifest["rejected"])


def test_files_of_one_name_in_the_folders_of_splits_keep_their_own_pictures(tmp_path: Path) -> None:
    """As the hub converts by itself: `default/train/0000.parquet`."""
    parquet(tmp_path / "hub" / "default" / "train" / "0000.parquet", [0, 1, 1])
    parquet(tmp_path / "hub" / "default" / "test" / "0000.parquet", [1, 0], first=3)
    pack = open_pack(build_pack(tmp_path / "packs", "hub", str(tmp_path / "hub")))
    assert pack.manifest["counts"] == {"train": {"angry": 2, "happy": 1}, "test": {"angry": 1, "happy": 1}}
    assert np.array_equal(pack.images[pack.splits == "train"], FACES[:3])
    assert np.array_equal(pack.images[pack.splits == "test"], FACES[3:5])


def test_parquet_with_words_and_older_names(tmp_path: Path) -> None:
    words = open_pack(build_pack(tmp_path / "p", "w", str(parquet(tmp_path / "w.parquet", ["joy", "Anger"], None))))
    assert words.emotions.tolist() == ["happy", "angry"]
    older = parquet(tmp_path / "o.parquet", [1, 0], {"0": "sad", "1": "fear"}, "emotion")
    assert open_pack(build_pack(tmp_path / "p", "o", str(older))).emotions.tolist() == ["fear", "sad"]


@pytest.mark.parametrize(
    ("labels", "names", "says"),
    [
        ([0, 1], None, "does not name"),
        ([0, 5], ("happy", "sad"), "label 5 is none of 2"),
        ([0, 1], ("happy", "bored"), "'bored' is no emotion"),
        ([[0, 1], [1]], ("happy", "sad"), r"label \[0, 1\] is no class number and no word"),
    ],
)
def test_parquet_that_cannot_be_understood(labels: list[object], names: object, says: str, tmp_path: Path) -> None:
    source = parquet(tmp_path / "train.parquet", labels, names)
    with pytest.raises(DataError, match=says):
        build_pack(tmp_path / "packs", "set", str(source))


def test_a_damaged_parquet(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"train\.parquet is damaged"):
        build_pack(tmp_path / "packs", "set", str(tmp_path / "train.parquet"))


def test_a_few_rows_of_parquet_are_in_memory_at_a_time(tmp_path: Path) -> None:
    """Whatever the size of its row groups; what is no picture, or has no label, is left out."""
    import pyarrow.parquet

    padding = np.random.default_rng(0).bytes(1 << 18)  # behind the end of the PNG, where no decoder looks
    pictures = [png(face) + padding for face in FACES[:6]] * 40
    contents = [b"no picture", None, *pictures]
    labels = ["happy", "happy", None, *["sad"] * 239]
    path = tmp_path / "train.parquet"
    rows = {"image": [{"bytes": content, "path": None} for content in contents], "label": labels}
    pyarrow.parquet.write_table(pyarrow.table(rows), path)
    del rows
    before, most = pyarrow.total_allocated_bytes(), 0

    class Watched(pyarrow.parquet.ParquetFile):
        def iter_batches(self, *args, **kwargs):
            nonlocal most
            for batch in super().iter_batches(*args, **kwargs):
                most = max(most, pyarrow.total_allocated_bytes() - before)
                yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyarrow.parquet, "ParquetFile", Watched)
        pack = open_pack(build_pack(tmp_path / "packs", "set", str(path)))
    assert 0 < most < 20 << 20  # of 60 MiB
    assert pack.names.tolist() == [f"train/{row:06d}" for row in range(3, 242)]
    assert {entry["name"]: entry["reason"].partition(":")[0] for entry in pack.manifest["rejected"]} == {
        "train/000000": "cannot be read as a picture",
        "train/000001": "no picture in its row",
        "train/000002": "no label",
    }
    assert all(np.array_equal(image, FACES[(row + 1) % 6]) for row, image in enumerate(pack.images))
