"""What a user points at with `data.source`, as a flat list of named files: a folder, a `.zip`, our own drawings."""

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from fer.errors import DataError

DRAWN = "drawn:"
LARGEST_MEMBER = 1 << 26  # bytes; a face picture has a few thousand, so more is a decompression bomb


class Source(Protocol):
    """Files by relative POSIX path, in sorted order; nothing is ever extracted to disk."""

    names: list[str]

    def read(self, name: str) -> bytes: ...


class FolderSource:
    """Every regular file under a folder; links are not followed, clutter not listed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = []
        for parent, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if not _is_clutter(name)]
            inside = Path(parent).relative_to(folder)
            found += [
                (inside / file).as_posix()
                for file in files
                if not _is_clutter(file) and stat.S_ISREG(os.lstat(Path(parent) / file).st_mode)
            ]
        self.names = sorted(found)

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


class ZipSource:
    """The members of a zip archive, read in memory."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.sizes = {entry.filename: entry.file_size for entry in archive.infolist() if not entry.is_dir()}
        self.names = sorted(name for name in self.sizes if not _is_clutter(name))

    def read(self, name: str) -> bytes:
        if self.sizes[name] > LARGEST_MEMBER:
            raise ValueError(f"{self.sizes[name]:,} bytes once unpacked, more than any face picture")
        where = f"data.source={self.archive.filename}"
        try:
            return self.archive.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DataError(f"{where} is a damaged .zip archive ({name}: {error}); download it again") from error
        except RuntimeError as error:  # encrypted, or compressed in a way that Python does not know
            raise DataError(f"{where}: {error}; unpack it and give the folder instead") from error


def _is_clutter(name: str) -> bool:
    """Whether a path holds a hidden file or folder, or what macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a folder or a zip archive.

    Raises:
        DataError: nothing stands at `path`, or it is neither a folder nor a whole zip archive.
    """
    if path.is_dir():
        yield FolderSource(path)
    elif not path.exists():
        raise DataError(f"data.source={path} does not exist")
    elif not zipfile.is_zipfile(path):
        raise DataError(f"data.source={path} is neither a folder nor a whole .zip archive (is it truncated?)")
    else:
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise DataError(f"data.source={path} is a damaged .zip archive: {error}") from error
        with archive:
            yield ZipSource(archive)


def fingerprint(source: str) -> dict[str, Any]:
    """What a pack records of its source, to notice later that it was made from another one.

    A file is known by its SHA-256; a folder by that of its sorted listing of names and sizes; a drawn set by
    the version of the drawing code.
    """
    if source.startswith(DRAWN):
        from fer.data.demo import VERSION

        return {"path": source, "version": VERSION}
    path = Path(source)
    if path.is_dir():
        listing = hashlib.sha256()
        for name in FolderSource(path).names:
            listing.update(f"{name}\0{(path / name).stat().st_size}\n".encode())
        return {"path": str(path), "sha256": listing.hexdigest()}
    if not path.exists():
        raise DataError(f"data.source={source} does not exist")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"data.source={source} cannot be read: {error}") from error
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest}
