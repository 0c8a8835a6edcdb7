"""Pictures leave the buffer as they came, whether memory held them or a file did."""

import json
import os
import signal
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer.data.build_pack import build_pack
from fer.data.pack import open_pack
from fer.data.write_pack import PictureBuffer
from fer.faces.box import FaceBox
from fer.faces.detector import find_faces
from fer.faces.framing import square
from fer.faces.pictures import decode_picture


@pytest.mark.parametrize("in_memory", [1 << 20, 10])
def test_pictures_come_back(in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer.data.write_pack.BUFFER_BYTES", in_memory)
    pictures = np.random.default_rng(0).integers(0, 256, (7, 5, 6), dtype=np.uint8)
    with PictureBuffer() as buffer:
        for picture in pictures:
            buffer.append(picture)
        assert len(buffer) == 7
        assert buffer.save(tmp_path / "images.npy", 4) == (7, 5, 6)
    assert np.array_equal(np.load(tmp_path / "images.npy"), pictures)
    assert buffer.file.closed


@pytest.mark.parametrize("coloured", [1, 2])
def test_most_pictures_decide_on_colour_and_mixed_sizes_are_squared(coloured: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (8, 9 + i, 3), dtype=np.uint8) for i in range(3)]
    given = [picture if i < coloured else picture[..., 0] for i, picture in enumerate(pictures)]
    with PictureBuffer() as buffer:
        for picture in given:
            buffer.append(picture)
        shape = buffer.save(tmp_path / "images.npy", 4)
    stored = np.load(tmp_path / "images.npy")
    assert shape == stored.shape == ((3, 4, 4, 3) if coloured == 2 else (3, 4, 4))
    if coloured == 2:
        assert np.array_equal(stored[0], square(pictures[0], 4))
        assert np.array_equal(stored[2, ..., 1], square(given[2], 4))
    else:
        assert np.array_equal(stored[1], square(given[1], 4))


def test_what_could_not_be_listed_is_in_the_manifest_and_counted(tmp_path, small, caplog) -> None:
    for number in range(4):
        (small / "train" / "happy" / f"dead{number}.png").symlink_to("/nowhere")
    (small / "train" / "sad" / "again.png").symlink_to(small / "train" / "sad" / "1.png")
    pack = open_pack(build_pack(tmp_path / "packs", "faces", str(small)))
    assert len(pack) == 6
    assert len(pack.manifest["rejected"]) == 5
    assert "5 files of" in caplog.text
    assert "train/happy: 4 files (dead0.png, …): a link into / that cannot be opened" in caplog.text


@pytest.fixture
def mixed_folder(tmp_path: Path, seen_faces: list[np.ndarray], put_faces: Callable[..., np.ndarray]) -> Path:
    """Photographs with and without a face, face crops, and files that cannot be read."""
    folder = tmp_path / "mixed"
    (folder / "happy").mkdir(parents=True)
    for number, face in enumerate(seen_faces[:6]):
        photograph = put_faces([(face, 200, 100)]) if number % 3 else np.full((120, 200 + number), 90, np.uint8)
        cv2.imwrite(str(folder / "happy" / f"{number}.png"), photograph)
        cv2.imwrite(str(folder / "happy" / f"crop{number}.png"), cv2.resize(face, (60, 60)))
    (folder / "happy" / "damaged.png").write_bytes((folder / "happy" / "1.png").read_bytes()[:900])
    (folder / "happy" / "empty.png").touch()
    return folder


@pytest.mark.parametrize("packed", ["folder", "zip"])
def test_threads_make_the_same_pack(
    packed: str, mixed_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_zip: Callable[..., Path]
) -> None:
    files = {path.relative_to(mixed_folder).as_posix(): path.read_bytes() for path in mixed_folder.rglob("*.png")}
    source = mixed_folder if packed == "folder" else write_zip(tmp_path / "mixed.zip", files)
    made, threads = {}, set()

    def watched(picture: np.ndarray) -> list[FaceBox]:
        threads.add(threading.get_ident())
        return find_faces(picture)

    monkeypatch.setattr("fer.faces.framing.find_faces", watched)
    for workers in (1, 4):
        monkeypatch.setattr("fer.data.build_pack.usable_cores", lambda workers=workers: workers)
        threads.clear()
        folder = build_pack(tmp_path / str(workers), "set", str(source), align=True)
        made[workers] = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert (len(threads) > 1) == (workers > 1)
    assert made[1] == made[4]
    rejected = json.loads(made[4]["manifest.json"])["rejected"]
    assert [entry["name"] for entry in rejected] == ["happy/damaged.png", "happy/empty.png"]


def test_memory_does_not_grow_with_the_number_of_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Callable[..., bytes]
) -> None:
    """As many as wait for their turn are in memory, however many there are, those that are looked at first included."""
    folder, held, most = tmp_path / "photographs", weakref.WeakSet(), 0
    (folder / "sad").mkdir(parents=True)
    for number in range(120):
        (folder / "sad" / f"{number:03d}.png").write_bytes(picture(number % 3, (110, 120 + number % 5)))

    class Photograph(np.ndarray):
        """An array that can be watched."""

    def decoded(content: bytes) -> np.ndarray:
        nonlocal most
        pixels = decode_picture(content).view(Photograph)
        held.add(pixels)
        most = max(most, len(held))
        return pixels

    Photograph.__hash__ = object.__hash__  # type: ignore[method-assign, assignment]
    monkeypatch.setattr("fer.data.build_pack.decode_picture", decoded)
    monkeypatch.setattr("fer.data.build_pack.usable_cores", lambda: 2)
    monkeypatch.setattr("fer.faces.framing.find_faces", lambda picture: [])
    assert len(open_pack(build_pack(tmp_path / "packs", "set", str(folder)))) == 120
    assert 0 < most <= 4


def test_a_folder_is_gone_through_once(mixed_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone_through: Counter[str] = Counter()
    for name in ("scandir", "stat"):
        real = getattr(os, name)

        def counted(path: Any, *args: Any, real: Any = real, name: str = name, **kwargs: Any) -> Any:
            if isinstance(path, str | Path) and Path(path).is_relative_to(mixed_folder / "happy"):
                gone_through[name] += 1
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, name, counted)
    files = len(list(Path(mixed_folder / "happy").iterdir()))
    gone_through.clear()
    build_pack(tmp_path, "set", str(mixed_folder), faces="none")
    assert gone_through["scandir"] == 1
    assert gone_through["stat"] <= files + 3  # one each, and few of the folder itself


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_neither_pack_nor_leftovers(
    mixed_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = iter([signal.SIGINT])

    def stopped(content: bytes) -> np.ndarray:
        for number in once:
            signal.raise_signal(number)
        return decode_picture(content)

    before = threading.active_count()
    monkeypatch.setattr("fer.data.build_pack.decode_picture", stopped)
    monkeypatch.setattr("fer.data.build_pack.usable_cores", lambda: 3)
    with pytest.raises(KeyboardInterrupt):
        build_pack(tmp_path / "packs", "set", str(mixed_folder), faces="none")
    assert not (tmp_path / "packs").exists()
    patience = time.monotonic() + 10  # a thread that was about to begin is not waited for
    while threading.active_count() > before and time.monotonic() < patience:
        time.sleep(0.01)
    assert threading.active_count() == before
