"""The votes of FER+ beside the faces of FER2013."""

from pathlib import Path

import numpy as np
import pytest
from given import FACES, USAGES, table

from fer.data.build_pack import build_pack
from fer.data.pack import open_pack
from fer.errors import DataError

VOTE_COLUMNS = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def votes(rows: list[str]) -> bytes:
    lines = (f"{USAGES[index % 3]},fer{index:07d}.png,{row}" for index, row in enumerate(rows))
    return "\n".join([VOTE_COLUMNS, *lines]).encode()


NINE = [
    "4,0,0,1,3,2,0,0,0,0",
    "0,10,0,0,0,0,0,0,0,0",
    "0,0,0,0,0,0,0,7,3,0",
    "0,0,0,0,0,0,0,0,0,10",
    *["9,0,0,0,0,0,0,0,1,0"] * 5,
]


def pack_with_votes(folder: Path, rows: list[str], use: bool = True):
    (folder / "plus").mkdir()
    (folder / "plus" / "fer2013.csv").write_bytes(table())
    (folder / "plus" / "fer2013new.csv").write_bytes(votes(rows))
    return open_pack(build_pack(folder / "packs", "ferplus", str(folder / "plus"), votes=use))


def test_ferplus_labels_and_distributions(tmp_path: Path) -> None:
    pack = pack_with_votes(tmp_path, NINE)
    assert pack.emotions.tolist() == ["neutral", "happy", "contempt", *["neutral"] * 5]
    assert np.array_equal(pack.images, FACES[[0, 1, 2, 4, 5, 6, 7, 8]])
    assert pack.votes is not None
    assert pack.votes[0] == pytest.approx([0.3, 0.2, 0, 0, 0.1, 0, 0.4, 0])
    assert pack.votes.sum(axis=1) == pytest.approx(1)
    assert {"name": "fer2013/000005", "reason": "most votes are for nf"} in pack.manifest["rejected"]


def test_without_votes_the_labels_are_those_of_fer2013(tmp_path: Path) -> None:
    pack = pack_with_votes(tmp_path, NINE, use=False)
    assert pack.emotions[:4].tolist() == ["angry", "disgust", "fear", "happy"]
    assert pack.votes is None


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (NINE[:8], "has 8 rows and the faces 9"),
        ([NINE[0], "1,2", *NINE[2:]], "line 3 has 4 fields"),
        ([NINE[0], NINE[1].replace("10", "ten"), *NINE[2:]], "line 3: 'ten' votes for happiness"),
    ],
)
def test_votes_that_do_not_fit_the_faces(rows: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        pack_with_votes(tmp_path, rows)


def test_votes_without_the_splits_of_their_rows(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_bytes(table())
    (tmp_path / "fer2013new.csv").write_bytes(votes(NINE).replace(b"Usage", b"Use", 1))
    with pytest.raises(DataError, match="no column Usage"):
        build_pack(tmp_path / "packs", "ferplus", str(tmp_path), votes=True)


def test_votes_in_another_order(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_bytes(table())
    (tmp_path / "fer2013new.csv").write_bytes(votes(NINE).replace(b"PublicTest", b"Training", 1))
    with pytest.raises(DataError, match=r"line 3 says Training, the face beside it is of val"):
        build_pack(tmp_path / "packs", "ferplus", str(tmp_path), votes=True)


@pytest.mark.parametrize(("name", "says"), [("fer2013new.csv", "no faces"), ("fer2013.csv", "no votes")])
def test_votes_and_faces_need_each_other(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(votes(NINE) if "new" in name else table())
    with pytest.raises(DataError, match=says):
        build_pack(tmp_path / "packs", "ferplus", str(tmp_path), votes=True)
