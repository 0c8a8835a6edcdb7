"""Packs of the drawn sets."""

import functools

import pytest
from given import content_of, entries

from fer.data.build_pack import ensure_pack
from fer.data.datasets import drawn
from fer.data.pack import open_pack
from fer.errors import DataError


@pytest.fixture
def few_faces(monkeypatch):
    """The drawn sets with 98 faces in place of thousands."""
    monkeypatch.setattr(drawn, "draw_faces", functools.partial(drawn.draw_faces, faces=(70, 14, 14)))


def test_drawn_faces_are_a_pack_with_splits_and_subjects(tmp_path, few_faces):
    pack = open_pack(ensure_pack(tmp_path, "demo", "drawn:demo"))
    assert pack.images.shape == (98, 48, 48)
    assert {split: sum(by.values()) for split, by in pack.manifest["counts"].items()} == {
        "train": 70,
        "val": 14,
        "test": 14,
    }
    assert "" not in pack.subjects


def test_a_pack_of_an_older_drawing_is_drawn_again_and_a_current_one_is_not(tmp_path, few_faces, monkeypatch):
    folder = ensure_pack(tmp_path, "demo", "drawn:demo")
    first = (folder / "manifest.json").stat().st_mtime_ns
    ensure_pack(tmp_path, "demo", "drawn:demo")
    assert (folder / "manifest.json").stat().st_mtime_ns == first
    monkeypatch.setattr(drawn, "VERSION", drawn.VERSION + 1)
    ensure_pack(tmp_path, "demo", "drawn:demo")
    assert open_pack(folder).manifest["source"] == {"path": "drawn:demo", "version": drawn.VERSION}
    assert entries(tmp_path) == ["demo"]


def test_drawn_faces_replace_neither_another_style_nor_a_download(tmp_path, few_faces, packed):
    for name, root in (("demo", tmp_path), ("faces", packed.parent)):
        if name == "demo":
            ensure_pack(root, "demo", "drawn:demo")
        before = content_of(root / name)
        with pytest.raises(DataError, match=r"not from data\.source=drawn:demo2"):
            ensure_pack(root, name, "drawn:demo2")
        assert content_of(root / name) == before


def test_an_unknown_drawn_set(tmp_path):
    with pytest.raises(DataError, match="the drawn sets are drawn:demo, drawn:demo2"):
        ensure_pack(tmp_path, "demo", "drawn:oil")
