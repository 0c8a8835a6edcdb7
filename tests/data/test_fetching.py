"""What is fetched by name, and what never is."""

import sys
import types

import pytest

from fer.data.build_pack import ensure_pack
from fer.data.pack import open_pack
from fer.errors import DataError


@pytest.mark.parametrize(
    ("name", "owner"), [("ckplus", "jeffcohn"), ("rafdb", "whdeld"), ("affectnet", "mohammadmahoor")]
)
def test_sets_under_agreement_are_never_fetched(name, owner, tmp_path):
    with pytest.raises(DataError, match=owner):
        ensure_pack(tmp_path, name, None)


def test_a_kaggle_source_is_fetched_once(tmp_path, small, monkeypatch):
    asked = []
    kagglehub = types.ModuleType("kagglehub")
    kagglehub.dataset_download = lambda handle: asked.append(handle) or str(small)
    monkeypatch.setitem(sys.modules, "kagglehub", kagglehub)
    for _ in range(2):
        folder = ensure_pack(tmp_path, "faces", "kaggle:someone/faces")
    assert asked == ["someone/faces"]
    assert open_pack(folder).manifest["source"]["path"] == "kaggle:someone/faces"
    with pytest.raises(DataError, match="was made from kaggle:someone/faces"):
        ensure_pack(tmp_path, "faces", "kaggle:someone/others")


def test_a_kaggle_source_that_fails_says_so(tmp_path, monkeypatch):
    kagglehub = types.ModuleType("kagglehub")

    def refuse(handle):
        raise ValueError("403\nno access")

    kagglehub.dataset_download = refuse
    monkeypatch.setitem(sys.modules, "kagglehub", kagglehub)
    with pytest.raises(DataError, match=r"kaggle:someone/faces cannot be fetched.*403 no access"):
        ensure_pack(tmp_path, "faces", "kaggle:someone/faces")
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(DataError, match=r"fer-experiments\[kaggle\]"):
        ensure_pack(tmp_path, "faces", "kaggle:someone/faces")
    for owned in ("kaggle:shawon10/ckplus", "kaggle:x/raf-db-dataset", "kaggle:x/AffectNet-HQ"):
        with pytest.raises(DataError, match="its owners"):
            ensure_pack(tmp_path, "faces", owned)
