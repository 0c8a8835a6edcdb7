import os
import zipfile
from pathlib import Path

import pytest

from fer.data.folder_source import LARGEST_MEMBER
from fer.data.provenance import fingerprint
from fer.data.sources import open_source
from fer.errors import DataError, PictureError


def names_in(path):
    with open_source(path) as source:
        return source.names


CLUTTER = {
    "__MACOSX/train/happy/._1.png": b"fork",
    "__MACOSX/train/happy/2.png": b"fork",
    "train/happy/.DS_Store": b"finder",
    "train/happy/._1.png": b"fork",
    ".ipynb_checkpoints/happy/1-checkpoint.png": b"copy",
    "train/.thumbnails/happy/1.png": b"copy",
}
FILES = {"train/sad/2.png": b"two", "train/happy/1.png": b"one", "README.txt": b"read"}


@pytest.fixture(params=["folder", "zip"])
def source_of(request, tmp_path, write_folder, write_zip):
    """Write files as a folder or as an archive."""
    if request.param == "folder":
        return lambda files: write_folder(tmp_path / "download", files)
    return lambda files: write_zip(tmp_path / "download.zip", files)


def test_files_by_relative_path_in_sorted_order(source_of):
    with open_source(source_of(FILES)) as source:
        assert source.names == sorted(FILES)
        assert {name: source.read(name) for name in source.names} == FILES


def test_hidden_files_and_folders_and_macos_clutter_are_not_listed(source_of):
    assert names_in(source_of(FILES | CLUTTER)) == sorted(FILES)


def test_an_empty_source_has_no_names(source_of):
    assert names_in(source_of({})) == []


def test_links_out_of_a_folder_are_followed_and_nothing_is_read_twice(tmp_path, write_folder):
    """As in the cache of a hub, and where class folders lie on other disks."""
    outside = write_folder(tmp_path / "outside", {"9.png": b"nine"})
    folder = write_folder(tmp_path / "download", FILES)
    (folder / "train" / "happy" / "linked.png").symlink_to(outside / "9.png")
    (folder / "fear").symlink_to(outside, target_is_directory=True)
    (folder / "scared").symlink_to(outside, target_is_directory=True)  # the same once more
    (folder / "all").symlink_to(folder, target_is_directory=True)
    (folder / "up").symlink_to(tmp_path, target_is_directory=True)
    (folder / "top").symlink_to("/", target_is_directory=True)
    write_folder(tmp_path / "elsewhere", {"in/8.png": b"eight"})
    (folder / "part").symlink_to(tmp_path / "elsewhere" / "in", target_is_directory=True)
    (folder / "whole").symlink_to(tmp_path / "elsewhere", target_is_directory=True)  # with the part once more
    (folder / "again.png").symlink_to(folder / "train" / "sad" / "2.png")
    (folder / "itself").symlink_to("itself")
    found = names_in(folder)
    assert sorted(set(found) - set(FILES)) in (
        [f"{name}/9.png", "part/8.png", "train/happy/linked.png"] for name in ("fear", "scared")
    )
    with open_source(folder) as source:
        assert source.read("train/happy/linked.png") == b"nine"
        assert source.links == {"again.png": "train/sad/2.png"}
        lost = dict(source.lost)
    twice = {"fear", "scared"} - {name.split("/")[0] for name in found}
    assert lost.keys() == {"all", "up", "top", "itself", "whole/in"} | twice
    assert lost["itself"].startswith("a link into . that cannot be opened (")
    assert lost["whole/in"] == "the same folder as part, which is read"
    assert lost["top"] == "a link to a folder that holds it, which is not followed"


def test_what_cannot_be_listed_is_named_with_the_reason(tmp_path, write_folder, monkeypatch):
    folder = write_folder(tmp_path / "download", FILES | {"fear/3.png": b"three"})
    (folder / "sad.png").symlink_to("/nowhere/sad.png")
    os.mkfifo(folder / "pipe.png")
    scan = os.scandir

    def locked(path):
        if str(path).endswith("fear"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", locked)
    with open_source(folder) as source:
        assert source.names == sorted(FILES)
        assert dict(source.lost) == {
            "fear": "a folder that cannot be read (Permission denied), with all that is in it",
            "sad.png": "a link into /nowhere that cannot be opened (No such file or directory)",
            "pipe.png": "neither a file nor a folder",
        }
    monkeypatch.setattr(os, "scandir", lambda path: locked("fear"))
    with pytest.raises(DataError, match=r"cannot be read .Permission denied"), open_source(folder):
        pass


def test_links_within_a_folder_are_known_by_what_they_lead_to(tmp_path, write_folder):
    files = {"pool/1.png": b"one", "blobs/ab12": b"table", ".hidden/2.png": b"two", "pool/deep/3.png": b"three"}
    folder = write_folder(tmp_path / "download", files)
    for link, target in {"1.png": "pool/1.png", "t.csv": "blobs/ab12", "2.png": ".hidden/2.png"}.items():
        (folder / link).symlink_to(target)
    (folder / "again").symlink_to("pool", target_is_directory=True)
    (folder / "pool" / "round").symlink_to("..", target_is_directory=True)
    (folder / "pool" / "deep" / "side").symlink_to("../../blobs", target_is_directory=True)
    with open_source(folder) as source:
        assert source.names == ["2.png", "blobs/ab12", "pool/1.png", "pool/deep/3.png", "t.csv"]
        assert source.links == {
            "1.png": "pool/1.png",
            "again/1.png": "pool/1.png",
            "again/deep/3.png": "pool/deep/3.png",
            "pool/deep/side/ab12": "blobs/ab12",
        }
        assert {name for name, _ in source.lost} == {"pool/round", "again/round", "again/deep/side"}
        assert source.read("again/deep/3.png") == b"three"


def test_members_of_one_name_are_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("happy/1.png", b"one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("happy/1.png", b"two")
    with open_source(tmp_path / "a.zip") as source:
        assert source.read("happy/1.png") == b"two"
        assert source.lost == [("happy/1.png", "is in the archive more than once: the last is read")]


def test_a_file_in_an_archive_that_has_the_name_of_one_beside_it_is_told(tmp_path, write_folder, write_zip):
    folder = write_folder(tmp_path / "download", {"train/happy/1.png": b"one"})
    write_zip(folder / "train.zip", {"happy/1.png": b"other", "sad/2.png": b"two"})
    with open_source(folder) as source:
        assert source.names == ["train/happy/1.png", "train/sad/2.png"]
        assert source.read("train/happy/1.png") == b"one"
        assert source.lost == [("train/happy/1.png", "train.zip holds another file of this name")]


@pytest.mark.parametrize("root", ["", "download/"])
def test_an_archive_beside_its_contents_is_read_once(root, tmp_path, write_folder, write_zip, caplog):
    folder = write_folder(tmp_path / "download", FILES)
    write_zip(folder / "archive.zip", FILES)
    write_folder(folder / "other", FILES)
    write_zip(folder / "other.zip", FILES)  # unpacked into a folder of its name
    write_zip(folder / "more.zip", {"fear/3.png": b"new", **FILES})
    write_zip(folder / "test.zip", dict.fromkeys(FILES, b"other pictures of the same names"))
    found = names_in(folder)
    assert [name for name in found if name.startswith("archive")] == ["archive.zip"]
    assert [name for name in found if name.startswith("other")] == ["other.zip", *(f"other/{n}" for n in sorted(FILES))]
    assert "more/fear/3.png" in found  # there is more in it than lies there
    assert {f"test/{name}" for name in FILES} <= set(found)
    assert caplog.text.count("it is read once") == 2


def test_names_of_other_systems_are_paths(tmp_path, write_zip):
    path = write_zip(tmp_path / "a.zip", {"./happy/1.png": b"one", "sad\\2.png": b"two"})
    assert names_in(path) == ["happy/1.png", "sad/2.png"]
    with open_source(path) as source:
        assert (source.read("happy/1.png"), source.read("sad/2.png")) == (b"one", b"two")


def test_a_folder_with_other_contents_of_the_same_sizes_is_another(tmp_path, write_folder, monkeypatch):
    folder = write_folder(tmp_path / "download", {"a/label.txt": b"3.0", "happy/1.bmp": b"abc", "happy/2.bmp": b"abc"})
    before = fingerprint(str(folder))
    assert fingerprint(str(folder)) == before
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: exec("raise PermissionError"))
        assert fingerprint(str(folder))["sha256"] == before["sha256"]  # what cannot be read will be left out, named
    for name in ("a/label.txt", "happy/2.bmp"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(b"5.0")
        now = fingerprint(str(folder))
        assert (now["sha256"], now["contents"]) != (before["sha256"], before["contents"])
        (folder / name).write_bytes(kept)
    assert fingerprint(str(folder)) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_is_no_file_and_does_not_block(tmp_path, write_folder):
    folder = write_folder(tmp_path / "download", FILES)
    os.mkfifo(folder / "train" / "happy" / "pipe.png")
    assert names_in(folder) == sorted(FILES)


def test_a_member_that_unpacks_to_too_much_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.zip"
    block = bytes(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("happy/1.png", b"small")
        with archive.open("happy/2.png", "w") as member:
            for _ in range(LARGEST_MEMBER // len(block)):
                member.write(block)
            member.write(b"!")
    assert path.stat().st_size < 1 << 20
    with open_source(path) as source:
        assert source.read("happy/1.png") == b"small"
        with pytest.raises(PictureError, match="67,108,865 bytes once unpacked"):
            source.read("happy/2.png")


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match=r"missing\.zip does not exist"), open_source(tmp_path / "missing.zip"):
        pass


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_archive(tmp_path, fer2013_zip, keep):
    content = fer2013_zip.read_bytes()
    path = tmp_path / "cut.zip"
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(DataError, match=r"cut\.zip .*(truncated|is an empty file)"), open_source(path):
        pass


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_with_a_damaged_member(tmp_path, write_zip, compression):
    path = write_zip(tmp_path / "damaged.zip", {"happy/1.png": bytes(range(256)) * 8}, compression)
    content = bytearray(path.read_bytes())
    start = 30 + len("happy/1.png")  # after the local header
    content[start : start + 32] = b"\xff" * 32
    path.write_bytes(content)
    with (
        pytest.raises(DataError, match=r"damaged\.zip is a damaged \.zip archive \(happy/1\.png"),
        open_source(path) as source,
    ):
        source.read("happy/1.png")


def test_an_encrypted_archive_names_the_way_out(tmp_path, write_zip):
    path = write_zip(tmp_path / "locked.zip", {"happy/1.png": b"secret"})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of the local header, then that of the central directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"encrypted.*give the folder"), open_source(path) as source:
        source.read("happy/1.png")


def test_a_file_is_known_by_its_content(tmp_path, fer2013_zip):
    copy = tmp_path / "renamed.zip"
    copy.write_bytes(fer2013_zip.read_bytes())
    assert fingerprint(str(copy))["sha256"] == fingerprint(str(fer2013_zip))["sha256"]
    copy.write_bytes(fer2013_zip.read_bytes() + b"\0")
    assert fingerprint(str(copy))["sha256"] != fingerprint(str(fer2013_zip))["sha256"]


def test_a_folder_is_known_by_names_and_sizes(tmp_path, write_folder):
    first = fingerprint(str(write_folder(tmp_path / "first", FILES)))["sha256"]
    assert fingerprint(str(write_folder(tmp_path / "second", FILES | CLUTTER)))["sha256"] == first
    assert fingerprint(str(write_folder(tmp_path / "third", FILES | {"new.png": b""})))["sha256"] != first
    assert fingerprint(str(write_folder(tmp_path / "fourth", FILES | {"README.txt": b"longer"})))["sha256"] != first


def test_the_fingerprint_of_nothing(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        fingerprint(str(tmp_path / "missing"))
