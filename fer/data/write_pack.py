"""Writing a pack: pictures as one array, the table, the manifest, whole or not at all.

A pack is written to a temporary sibling and renamed.
"""

import csv
import hashlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from fer.data.attributes import GROUPS
from fer.data.pack import AUDIT, CROISSANT, DUPLICATES, PHOTOGRAPHS, READINGS, digest
from fer.data.samples import Listing, RawSample
from fer.faces.resample import square, to_grey
from fer.files import write_json

COLUMNS = ("name", "emotion", "split", "subject")
ADDED = {
    AUDIT,
    CROISSANT,
    DUPLICATES,
    PHOTOGRAPHS,
    READINGS,
    "twins.png",
}  # beside a pack; the last one by older versions
FILES = {"images.npy", "table.csv", "manifest.json", "votes.npy", GROUPS, *ADDED}
BUFFER_BYTES = 1 << 30  # of pictures that are held in memory; the rest waits in a temporary file
LEFT_SECONDS = 60  # since a temporary folder was made, after which nobody is about to hold it
Identity = tuple[int, int] | None  # of a pack's folder


class PictureBuffer:
    """Takes pictures one by one and writes them as one array, once their common shape is known."""

    def __init__(self) -> None:
        self.file = tempfile.SpooledTemporaryFile(max_size=BUFFER_BYTES, prefix="fer-")  # noqa: SIM115 - see __exit__
        self.shapes: list[tuple[int, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __len__(self) -> int:
        return len(self.shapes)

    def append(self, picture: np.ndarray) -> None:
        """Take a picture: uint8 [H, W] or [H, W, 3]."""
        self.file.write(picture.tobytes())
        self.shapes.append(picture.shape)

    @property
    def uniform(self) -> bool:
        """Whether all pictures have one size, and keep it."""
        return len({shape[:2] for shape in self.shapes}) == 1

    def save(self, path: Path, store_size: int) -> tuple[int, ...]:
        """Write `.npy`: colour if most pictures have some, native size where uniform, else central squares.

        Args:
            path: uint8 [N, H, W] or [N, H, W, 3] goes there.
            store_size: side of the squares where sizes differ, pixels.

        Returns:
            The shape of the array.
        """
        colour = 2 * sum(len(shape) == 3 for shape in self.shapes) > len(self.shapes)
        size = self.shapes[0][:2] if self.uniform else (store_size, store_size)
        shape = (len(self.shapes), *size, *((3,) if colour else ()))
        self.file.seek(0)
        with path.open("wb") as file:  # not memory-mapped: on a full disk that would end the process
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for own in self.shapes:
                picture = np.frombuffer(self.file.read(int(np.prod(own))), np.uint8).reshape(own)
                if colour and picture.ndim == 2:
                    picture = np.repeat(picture[..., None], 3, axis=2)
                elif not colour and picture.ndim == 3:
                    picture = to_grey(picture)
                file.write((picture if picture.shape[:2] == size else square(picture, store_size)).tobytes())
        return shape


def is_pack_folder(folder: Path) -> bool:
    """Whether a folder holds nothing but a pack's files, so that it may be replaced."""
    return folder.is_dir() and {entry.name for entry in folder.iterdir() if entry.name[0] != "."} <= FILES


def identity(folder: Path) -> Identity:
    """Tells a pack from one that is put in its place later; None where there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def write_pack(
    folder: Path,
    listing: Listing,
    pictures: PictureBuffer,
    manifest: dict[str, Any],
    store_size: int,
    before: Identity,
) -> None:
    """Write a pack in place of the one that was there at the start.

    Args:
        folder: of the pack.
        listing: its samples, in the order of the pictures, and their votes and groups.
        pictures: as they were framed.
        manifest: without shape and digests, which are added.
        store_size: side of the squares where sizes differ, pixels.
        before: of the pack that makes way; None where there was none.

    Raises:
        OSError: the disk refuses; what was there stays.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    held = ExitStack()
    try:
        with suppress(OSError):  # a file system without such locks: nobody removes what is left there
            held.enter_context(_held(temporary))
        manifest["shape"] = list(pictures.save(temporary / "images.npy", store_size))
        if listing.votes is not None:
            np.save(temporary / "votes.npy", listing.votes)
        if listing.groups is not None:
            (temporary / GROUPS).write_bytes(listing.groups)
        elif (folder / GROUPS).exists():  # put there by hand
            shutil.copyfile(folder / GROUPS, temporary / GROUPS)
        table = _table(listing.samples)
        (temporary / "table.csv").write_bytes(table)
        manifest["sha256"] = {
            "table.csv": hashlib.sha256(table).hexdigest(),
            "images.npy": digest(temporary / "images.npy"),
        }
        write_json(temporary / "manifest.json", manifest)
        temporary.chmod(0o755)
        _move_into_place(temporary, folder, before)
    finally:
        held.close()
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed writers of a pack left beside it, which may be large."""
    for path in folder.parent.iterdir():
        if path.name.startswith(f".{folder.name}.") and path.is_dir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFT_SECONDS:
                    with _held(path):
                        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder until the process ends, however it ends.

    Raises:
        OSError: another process holds it, or this system has no such locks.
    """
    try:
        import fcntl
    except ImportError as error:  # Windows
        raise OSError("no locks of folders") from error
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _move_into_place(temporary: Path, folder: Path, before: Identity) -> None:
    """Rename; the pack that was there at the start makes way, one that another process put there since stays."""
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f".{folder.name}.old.", ignore_cleanup_errors=True
    ) as old:
        older = Path(old) / folder.name
        if before is not None and identity(folder) == before:
            with suppress(FileNotFoundError):  # another process has just moved it
                os.replace(folder, older)
                if (older / READINGS).exists():  # what was read so far stays read
                    shutil.copy2(older / READINGS, temporary / READINGS)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not (folder / "manifest.json").exists():
                if older.exists():
                    os.replace(older, folder)
                raise


def _table(samples: list[RawSample]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows((s.name, s.emotion, s.split, s.subject) for s in samples)
    return text.getvalue().encode("utf-8")
