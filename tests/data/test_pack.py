"""Packs: what they hold, when they are made again, and that nothing is lost where making one fails."""

import errno
import json
import multiprocessing
import os
import zipfile
from io import BytesIO

import numpy as np
import pytest
from given import PACK_FILES, content_of, entries
from PIL import Image

from fer.data.build_pack import build_pack, ensure_pack
from fer.data.pack import open_pack
from fer.data.write_pack import PictureBuffer
from fer.errors import DataError


@pytest.mark.parametrize("name", ["fer2013", "ckplus"])
def test_a_pack_gives_back_every_pixel_and_word(name, data_root, decoded, request):
    files = request.getfixturevalue(f"{name}_files")
    pack = open_pack(data_root / name)
    assert pack.images.shape == (len(files), 48, 48)
    assert pack.images.dtype == np.uint8
    assert pack.names.tolist() == sorted(files)
    assert {len(column) for column in (pack, pack.emotions, pack.splits, pack.subjects)} == {len(files)}
    for row, path in enumerate(pack.names):
        np.testing.assert_array_equal(pack.images[row], decoded(files[path]))
    if name == "ckplus":
        assert pack.subjects.tolist() == [path.split("/")[-1][:4] for path in pack.names]
        assert set(pack.splits) == {"all"}
    else:
        assert set(pack.subjects) == {""}
        assert pack.emotions.tolist() == [path.split("/")[1] for path in pack.names]
    beside = {".lock", "photographs.npz", "test_readings.csv"}  # of what other tests did with this pack
    assert [entry for entry in entries(pack.folder) if entry not in beside] == PACK_FILES


def test_the_manifest_counts_by_split_and_emotion(data_root):
    counts = open_pack(data_root / "fer2013").manifest["counts"]
    emotions = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert list(counts) == ["train", "val", "test"]
    assert [list(by) for by in counts.values()] == [emotions] * 3
    assert [set(by.values()) for by in counts.values()] == [{11}, {2}, {3}]
    counts = open_pack(data_root / "ckplus").manifest["counts"]
    assert counts == {"all": dict.fromkeys([*emotions[:6], "contempt"], 12)}


def test_a_pack_whose_manifest_says_more_opens(tmp_path, small):
    folder = build_pack(tmp_path / "packs", "faces", str(small))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sharpness"] = {"sigma": {"train": 3.3}, "noise": 0.1, "sharp_side": 16}  # of an older version
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert open_pack(folder).stored_size == 16  # what its blurred pictures show
    assert ensure_pack(tmp_path / "packs", "faces", str(small)) == folder


def test_a_zip_and_the_folder_it_holds_give_the_same_pack(tmp_path, data_root, fer2013_folder):
    folder = build_pack(tmp_path, "fer2013", str(fer2013_folder))
    for name in ("images.npy", "table.csv"):
        assert (folder / name).read_bytes() == (data_root / "fer2013" / name).read_bytes()


def test_unreadable_pictures_among_many_are_rejected_with_the_reason(tmp_path, small, write_folder, picture, caplog):
    whole = picture(99, (8, 8))
    write_folder(small, {"train/sad/note.png": b"no picture", "train/sad/cut.png": whole[:60], "README.txt": b"read"})
    pack = open_pack(build_pack(tmp_path / "packs", "faces", str(small)))
    assert len(pack) == 6
    rejected = {entry["name"]: entry["reason"] for entry in pack.manifest["rejected"]}
    assert rejected.keys() == {"train/sad/note.png", "train/sad/cut.png", "README.txt"}
    assert "not an image" in rejected["train/sad/note.png"]
    assert rejected["train/sad/cut.png"].startswith("cannot be read as a picture")
    assert rejected["README.txt"] == "not a picture"
    assert "3 files" in caplog.text


def test_names_that_are_no_utf_8_are_escaped(tmp_path, write_folder, picture):
    source = write_folder(tmp_path / "source", {"happy/1.png": picture(1), "sad/2.png": picture(2)})
    for name in (b"sad/f\xe9lix.png", b"n\xf6te.md"):
        with open(os.fsencode(source) + b"/" + name, "wb") as file:
            file.write(picture(3))
    pack = open_pack(build_pack(tmp_path / "packs", "faces", str(source)))
    assert sorted(pack.names.tolist()) == ["happy/1.png", "sad/2.png", "sad/f\\udce9lix.png"]
    assert [entry["name"] for entry in pack.manifest["rejected"]] == ["n\\udcf6te.md"]
    ensure_pack(tmp_path / "packs", "faces", str(source))


def test_a_bomb_among_many_is_rejected(tmp_path, picture):
    path = tmp_path / "download.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("happy/1.png", picture(1))
        with archive.open("happy/2.png", "w") as member:
            for _ in range(65):
                member.write(bytes(1 << 20))
    pack = open_pack(build_pack(tmp_path, "faces", str(path)))
    assert pack.names.tolist() == ["happy/1.png"]
    assert "once unpacked" in pack.manifest["rejected"][0]["reason"]


def test_no_readable_picture_at_all(tmp_path, write_folder):
    source = write_folder(tmp_path / "source", {"happy/1.png": b"no", "sad/2.png": b"picture"})
    with pytest.raises(DataError, match=r"none of the 2 pictures in .* can be read"):
        build_pack(tmp_path / "packs", "faces", str(source))
    assert not (tmp_path / "packs" / "faces").exists()


def test_colour_is_stored_as_grey_and_sixteen_bits_as_eight(tmp_path, write_folder, picture, decoded):
    ramp, content = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8), BytesIO()
    Image.fromarray(ramp).save(content, "PNG")
    colour = picture(5, (8, 8, 3))
    source = write_folder(tmp_path / "source", {"happy/1.png": colour, "happy/2.png": content.getvalue()})
    images = open_pack(build_pack(tmp_path, "faces", str(source))).images
    np.testing.assert_array_equal(images[0], decoded(colour))
    np.testing.assert_array_equal(images[1], ramp // 256)


def test_pictures_of_one_size_keep_it(tmp_path, write_folder, picture):
    source = write_folder(tmp_path / "source", {f"happy/{n}.png": picture(n, (20, 30)) for n in range(3)})
    assert open_pack(build_pack(tmp_path, "faces", str(source), store_size=16)).images.shape == (3, 20, 30)


def test_pictures_of_several_sizes_are_stored_as_central_squares_of_store_size(tmp_path, write_folder, caplog):
    def banded(width):
        """A 32-pixel square of grey 200 between black edges."""
        pixels, content = np.zeros((32, width), np.uint8), BytesIO()
        pixels[:, (width - 32) // 2 : (width + 32) // 2] = 200
        Image.fromarray(pixels).save(content, "PNG")
        return content.getvalue()

    caplog.set_level("WARNING")  # whatever a test before set
    source = write_folder(tmp_path / "source", {"happy/1.png": banded(32), "happy/2.png": banded(64)})
    images = open_pack(build_pack(tmp_path, "faces", str(source), store_size=16)).images
    assert images.shape == (2, 16, 16)
    assert (images[:, :, 3:-3] == 200).all()
    assert images.min() > 150  # the filter looks a little beyond the square
    assert not caplog.records
    ensure_pack(tmp_path, "faces", None, store_size=16)
    assert not caplog.records
    ensure_pack(tmp_path, "faces", None, store_size=24)
    assert "holds images of 16 px; data.store_size=24 needs a new pack" in caplog.text


def test_a_pack_with_the_labels_of_others_than_asked_for_is_refused(packed):
    with pytest.raises(DataError, match=r"was made without data\.votes=true, data\.votes=true is asked"):
        ensure_pack(packed.parent, "faces", None, votes=True)


def test_the_same_source_again_rewrites_nothing(tmp_path, small, packed):
    before = {name: (packed / name).stat().st_mtime_ns for name in PACK_FILES}
    assert ensure_pack(packed.parent, "faces", str(small)) == packed
    assert ensure_pack(packed.parent, "faces", None) == packed
    assert {name: (packed / name).stat().st_mtime_ns for name in PACK_FILES} == before


def test_another_source_than_the_packed_one_is_refused(small, packed, write_folder, picture):
    before = content_of(packed)
    write_folder(small, {"train/happy/new.png": picture(7, (8, 8))})
    with pytest.raises(DataError, match=r"was made from .*; remake it \(python scripts/prepare\.py data=faces"):
        ensure_pack(packed.parent, "faces", str(small))
    assert content_of(packed) == before
    build_pack(packed.parent, "faces", str(small))  # what prepare.py does
    assert len(open_pack(packed)) == 7


def test_no_pack_and_no_source_names_the_command(tmp_path):
    for ask in (lambda: ensure_pack(tmp_path, "ckplus", None), lambda: open_pack(tmp_path / "ckplus")):
        with pytest.raises(DataError, match=r"no pack at .*scripts/prepare\.py data=ckplus data\.source=PATH"):
            ask()


def test_a_source_that_is_missing(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        ensure_pack(tmp_path / "packs", "faces", str(tmp_path / "missing.zip"))
    assert not (tmp_path / "packs").exists()


@pytest.fixture
def halfway_broken(tmp_path, write_zip, picture):
    """An archive whose third of five pictures is damaged."""
    files = {f"happy/{n}.png": picture(n) for n in range(5)}
    path = write_zip(tmp_path / "broken.zip", files)
    content = bytearray(path.read_bytes())
    middle = content.index(files["happy/2.png"]) + 500
    content[middle] ^= 0xFF
    path.write_bytes(content)
    return path


def test_decoding_that_fails_midway_leaves_nothing(tmp_path, halfway_broken):
    (tmp_path / "packs").mkdir()
    with pytest.raises(DataError, match=r"damaged \.zip archive"):
        build_pack(tmp_path / "packs", "faces", str(halfway_broken))
    assert entries(tmp_path / "packs") == []


def test_an_older_pack_survives_a_remake_that_fails(packed, halfway_broken):
    before = content_of(packed)
    with pytest.raises(DataError):
        build_pack(packed.parent, "faces", str(halfway_broken))
    assert content_of(packed) == before
    assert entries(packed.parent) == ["faces"]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_writing_that_fails_midway_leaves_nothing(tmp_path, small, monkeypatch, failure):
    def fill_the_disk(spool, path, store_size):
        path.write_bytes(bytes(100))
        raise failure

    monkeypatch.setattr(PictureBuffer, "save", fill_the_disk)
    expected = DataError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if expected is DataError else None):
        build_pack(tmp_path / "packs", "faces", str(small))
    assert entries(tmp_path / "packs") == []


def test_a_root_that_cannot_be_written(tmp_path, small):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        build_pack(tmp_path / "file", "faces", str(small))


def test_a_download_that_stands_where_the_pack_goes_is_never_replaced(tmp_path, small):
    before = sorted(small.rglob("*"))
    with pytest.raises(DataError, match=r"holds other files; move them or give another data\.root"):
        build_pack(small.parent, small.name, str(small))
    assert sorted(small.rglob("*")) == before


def pack_in_step(root, source, barrier, rounds):
    """In a process of its own: pack at the same moment as the others, first fresh, then in place of a pack."""
    for number in range(rounds):
        barrier.wait(20)
        assert len(open_pack(ensure_pack(root, f"fresh{number}", source))) == 6
    for number in range(rounds):
        barrier.wait(20)
        build_pack(root, f"fresh{number}", source)


def test_processes_that_pack_at_once_end_with_one_whole_pack(tmp_path, small):
    context = multiprocessing.get_context("spawn")
    rounds, barrier = 25, context.Barrier(2)
    root = tmp_path / "packs"
    processes = [context.Process(target=pack_in_step, args=(root, str(small), barrier, rounds)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert entries(root) == sorted(f"fresh{number}" for number in range(rounds))
    for folder in root.iterdir():
        assert len(open_pack(folder)) == 6
