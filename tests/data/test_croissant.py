"""Other tools read a pack by its Croissant metadata."""

from pathlib import Path

import numpy as np
import pytest

from fer.cli.prepare import prepare
from fer.data.build_pack import build_pack
from fer.data.pack import CROISSANT, READINGS, open_pack


def test_the_metadata_are_valid_and_give_back_the_table(tmp_path: Path, ckplus_zip: Path) -> None:
    croissant = pytest.importorskip("mlcroissant", reason="pip install mlcroissant")
    prepare("ckplus", str(ckplus_zip), str(tmp_path), 48)
    pack = open_pack(tmp_path / "ckplus")
    read = croissant.Dataset(jsonld=pack.folder / CROISSANT)  # raises where they are not valid
    assert "CK+" in read.metadata.description
    rows = [{key.rpartition("/")[2]: value for key, value in row.items()} for row in read.records("images")]
    assert [row["name"].decode() for row in rows] == pack.names.tolist()
    assert [row["emotion"].decode() for row in rows] == pack.emotions.tolist()
    assert {row["subject"].decode() for row in rows} == set(pack.subjects.tolist())
    digests = {file.id: file.sha256 for file in read.metadata.distribution}
    assert digests == pack.manifest["sha256"]


@pytest.mark.parametrize("name", ["demo", "fer2013", "mine"])
def test_the_metadata_of_any_pack_are_valid(name: str, tmp_path: Path, small: Path) -> None:
    croissant = pytest.importorskip("mlcroissant", reason="pip install mlcroissant")
    prepare(name, str(small), str(tmp_path), 48)
    issues = croissant.Dataset(jsonld=tmp_path / name / CROISSANT).metadata.ctx.issues
    assert not issues.errors


def test_a_pack_made_anew_keeps_the_ledger_of_its_tests(tmp_path: Path, small: Path) -> None:
    folder = build_pack(tmp_path, "faces", str(small))
    (folder / READINGS).write_text("when,run\n")
    (folder / CROISSANT).write_text("{}")
    assert build_pack(tmp_path, "faces", str(small)) == folder
    assert (folder / READINGS).read_text() == "when,run\n"
    assert not (folder / CROISSANT).exists()  # of the older pack
    assert np.load(folder / "images.npy").dtype == np.uint8
