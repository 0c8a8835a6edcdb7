"""Archives that lead out, link, nest, or never end are refused or passed over."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from given import FACES, pack_of, png, table, tar_gz, zipped

from fer.data import sources
from fer.errors import DataError


@pytest.mark.parametrize("name", ["../happy/1.png", "/happy/1.png", "a/../../happy/1.png", "..\\happy\\1.png"])
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_path_that_leads_out_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    files = {name: png(FACES[0]), "happy/2.png": png(FACES[1])}
    with pytest.raises(DataError, match="leads out"):
        pack_of(tmp_path, f"evil.{kind}", zipped(files) if kind == "zip" else tar_gz(files))


def test_links_of_a_tar_are_not_followed(tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        link = tarfile.TarInfo("happy/passwd.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        face = tarfile.TarInfo("happy/1.png")
        face.size = len(png(FACES[0]))
        archive.addfile(face, io.BytesIO(png(FACES[0])))
        again = tarfile.TarInfo("sad/1.png")  # as tar stores a file that has two names
        again.type, again.linkname = tarfile.LNKTYPE, "happy/1.png"
        archive.addfile(again)
    pack = pack_of(tmp_path, "links.tar", content.getvalue())
    assert pack.names.tolist() == ["happy/1.png", "sad/1.png"]
    assert (pack.images[0] == pack.images[1]).all()
    assert pack.manifest["rejected"] == [
        {"name": "happy/passwd.png", "reason": "a link to /etc/passwd, which is not followed in an archive"}
    ]


def test_archives_nest_only_so_deep(tmp_path: Path) -> None:
    content = zipped({"happy/1.png": png(FACES[0])})
    for _ in range(4):
        content = zipped({"inner.zip": content})
    with pytest.raises(DataError, match="deep"):
        pack_of(tmp_path, "russian.zip", content)


def test_what_unpacks_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer.data.sources.LARGEST_STREAM", 1 << 18)
    monkeypatch.setattr("fer.data.tables.LARGEST_STREAM", 1 << 18)
    with pytest.raises(DataError, match="unpacks to more"):
        pack_of(tmp_path, "bomb.tar.gz", gzip.compress(bytes(1 << 19)))
    rows = b"emotion,pixels\n" + b"0,1 2 3 4\n" * 40_000
    with pytest.raises(DataError, match="unpacks to more"):
        pack_of(tmp_path, "bomb.csv", rows)


@pytest.mark.parametrize("keep", [20, 0.5, 0.9])
def test_a_truncated_tar(keep: float, tmp_path: Path) -> None:
    content = tar_gz({"fer2013.csv": table()})
    with pytest.raises(DataError, match="truncated"):
        pack_of(tmp_path, "cut.tar.gz", content[: int(keep) if keep > 1 else int(keep * len(content))])


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_unpacked_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for its pictures in a compressed stream would unpack it from the start for each of them."""
    unpacked = []
    original = sources._unpacked
    monkeypatch.setattr(sources, "_unpacked", lambda *given: unpacked.append(given) or original(*given))
    files = {f"happy/{name}.png": png(face) for name, face in zip("dcab", FACES, strict=False)}
    pack = pack_of(tmp_path, f"faces.tar.{kind}", tar_gz(files, kind))
    assert pack.names.tolist() == ["happy/a.png", "happy/b.png", "happy/c.png", "happy/d.png"]
    assert (pack.images == FACES[[2, 3, 1, 0]]).all()
    assert len(unpacked) == 1
    with pytest.raises(DataError, match="truncated"):
        pack_of(tmp_path, f"cut.tar.{kind}", tar_gz(files, kind)[:-40])


@pytest.mark.parametrize("inner", ["faces.zip", "faces.tar.gz"])
def test_a_damaged_archive_in_an_archive_is_one_line(inner: str, tmp_path: Path) -> None:
    files = {"happy/1.png": png(FACES[0])}
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr(inner, zipped(files) if inner.endswith("zip") else tar_gz(files))
    content = bytearray(outer.getvalue())
    start = 30 + len(inner) + 20  # within the stored member, after the local header
    content[start : start + 8] = bytes(8)
    with pytest.raises(DataError, match=rf"{inner} is damaged .*: download it again") as error:
        pack_of(tmp_path, "kaggle.zip", bytes(content))
    assert "\n" not in str(error.value)
