"""What is known of data sets, and how packs, old ones too, say which one they are."""

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from fer.data import datasets
from fer.data.build_pack import build_pack
from fer.data.datasets import all_datasets, dataset
from fer.data.pack import open_pack


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("fer2013", "fer2013"),
        ("fer2013_matched", "fer2013"),  # runs of before
        ("ferplus", "ferplus"),
        ("ckplus_contempt", "ckplus"),
        ("ckplus_all", "ckplus"),
        ("demo", "drawn"),
        ("demo2", "drawn"),
        ("mine", "folder"),
        ("fer20130", "folder"),
    ],
)
def test_a_name_tells_the_data_set(name: str, known: str) -> None:
    assert dataset(name).name == known


def test_every_data_set_says_what_it_is() -> None:
    facts = all_datasets()
    assert {"affectnet", "ckplus", "drawn", "fer2013", "ferplus", "folder", "rafdb"} == {known.name for known in facts}
    for known in facts:
        assert all((known.title, known.owner, known.licence, known.protocol, known.caveats))
        assert known.access or not known.by_agreement


@pytest.mark.parametrize("kind", ["fer2013", "ckplus"])
def test_packs_tell_their_data_set_whatever_their_name(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = build_pack(tmp_path, "mine", str(request.getfixturevalue(f"{kind}_zip")))
    assert open_pack(folder).manifest["dataset"] == kind
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["dataset"]  # packs of before are known by their layout
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert dataset(open_pack(folder)).name == kind


def test_folders_that_tell_nothing_are_what_they_are_called(small: Path, tmp_path: Path) -> None:
    for name, known in (("fer2013", "fer2013"), ("mine", "folder")):
        assert dataset(open_pack(build_pack(tmp_path / "packs", name, str(small)))).name == known


def test_a_new_module_is_a_new_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_folder: Callable[..., Path], picture: Callable[..., bytes]
) -> None:
    module = """
        from fer.data.datasets import DatasetFacts
        from fer.data.samples import Listing, RawSample

        FACTS = DatasetFacts("smiles", "Smiles", "nobody", "none", "all of them", ("Only smiles.",))

        def list_samples(source, votes=False):
            if "smiles.txt" not in source.names:
                return None
            names = [name for name in source.names if name.endswith(".png")]
            return Listing("smiles", [RawSample(name, "happy", "train", "") for name in names], [])
    """
    write_folder(tmp_path / "modules", {"smiles.py": textwrap.dedent(module).encode()})
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path / "modules")])
    datasets._modules.cache_clear()
    try:
        source = write_folder(tmp_path / "given", {"smiles.txt": b"", "1.png": picture(1), "2.png": picture(2)})
        pack = open_pack(build_pack(tmp_path / "packs", "mine", str(source)))
        assert (len(pack), dataset(pack).title) == (2, "Smiles")
    finally:
        sys.modules.pop("fer.data.datasets.smiles", None)
        datasets._modules.cache_clear()
