"""Files by name, and a folder of them: links, dead ones, folders that may not be read."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, Any

from fer.errors import DataError, PictureError

ADDED_FILES = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"}  # by macOS and Windows
LARGEST_MEMBER = 1 << 26  # bytes; a face picture has a few thousand, so more is a decompression bomb


class Source:
    """Files by relative POSIX path, in sorted order; nothing is ever extracted to disk.

    Attributes:
        names: of the files.
        where: what errors call the source.
        links: names of links to files that `names` holds already -> the name of that file.
        lost: what is there and cannot be listed, with the reason.
        reading: held by whoever reads while other threads may; those of a folder need not wait for each other.
    """

    largest: int | None = LARGEST_MEMBER  # bytes that `read` takes; None: any number

    def __init__(self, names: Iterable[str], where: str) -> None:
        self.names, self.where = sorted(names), where
        self.links: dict[str, str] = {}
        self.lost: list[tuple[str, str]] = []
        self.reading: AbstractContextManager[Any] = Lock()

    @property
    def outermost(self) -> "Source":
        """The source itself; of a folder or archive whose inner archives were opened, as it is without them."""
        return self

    def open(self, name: str) -> IO[bytes]:
        raise NotImplementedError

    def size(self, name: str) -> int:
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            PictureError: it is larger than any face picture.
        """
        if self.largest is not None and self.size(name) > self.largest:
            raise PictureError(f"{name} has {self.size(name):,} bytes once unpacked, more than any face picture")
        with self.open(name) as file:
            return file.read()


class FolderSource(Source):
    """Every regular file under a folder, clutter left out; or those that are named.

    Links that lead out of the folder are followed, as a hub's cache and people with several disks have them. What
    links lead to within it is listed already, so those are in `links`; but a file whose name says what it is by its
    link alone, as in a hub's cache, is listed by the link. Whatever cannot be listed is in `lost`.
    """

    largest = None

    def __init__(self, folder: Path, names: Iterable[str] | None = None, where: str = "") -> None:
        super().__init__((), where or where_of(folder))
        self.folder, self._root = folder, os.path.realpath(folder)
        self._entered: dict[tuple[int, int], str] = {}
        self._sizes: dict[str, int] = {}  # bytes, as they were when the folder was gone through
        self.reading = nullcontext()
        found = list(self._files(str(folder), "") if names is None else names)
        listed = set(found)
        alone = [
            link
            for link, target in self.links.items()
            if target not in listed or PurePosixPath(link).suffix.lower() != PurePosixPath(target).suffix.lower()
        ]
        self.links = {link: target for link, target in self.links.items() if link not in alone}
        self.names = sorted([*found, *alone])

    def _files(self, folder: str, inside: str, real: str | None = None) -> Iterator[str]:
        """The files under a folder; those that are read under another name go into `links`.

        Args:
            folder: its path.
            inside: what names begin with.
            real: where the folder is reached by a link, what the names of its own files begin with.
        """
        try:
            status = os.stat(folder)
            key = status.st_dev, status.st_ino
            if real is None and key in self._entered:
                self._lose(inside, f"the same folder as {self._entered[key] or '.'}, which is read")
                return
            if real is None:
                self._entered[key] = inside.rstrip("/")
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if not inside:
                raise DataError(f"{self.where} cannot be read ({error.strerror or error})") from error
            self._lose(inside, f"a folder that cannot be read ({error.strerror or error}), with all that is in it")
            return
        for entry in entries:
            if not is_clutter(entry.name):
                yield from self._entry(entry, f"{inside}{entry.name}", None if real is None else f"{real}{entry.name}")

    def _entry(self, entry: os.DirEntry[str], name: str, real: str | None) -> Iterator[str]:
        try:
            status = os.stat(entry.path)
        except OSError as error:  # a dead link, or one to itself
            into = f"a link into {os.path.dirname(os.readlink(entry.path)) or '.'} that " if entry.is_symlink() else ""
            self._lose(name, f"{into}cannot be opened ({error.strerror or error})")
            return
        kind = status.st_mode
        if stat.S_ISREG(kind):
            self._sizes[name] = status.st_size
        within = entry.is_symlink() and not self._leads_out(entry.path)
        if stat.S_ISDIR(kind) and (within or (real is not None and entry.is_symlink())):
            yield from self._linked_folder(entry.path, name, real)
        elif stat.S_ISDIR(kind):
            yield from self._files(entry.path, f"{name}/", None if real is None else f"{real}/")
        elif not stat.S_ISREG(kind):
            self._lose(name, "neither a file nor a folder")
        elif within:
            self.links[name] = self._inside(entry.path)
        elif real is not None:
            self.links[name] = real
        else:
            yield name

    def _linked_folder(self, link: str, name: str, real: str | None) -> Iterator[str]:
        """The files behind a link to a folder within this one: they are links, too."""
        target = os.path.realpath(link)
        if real is not None:
            self._lose(name, "a link in a linked folder, which is not followed")
        elif os.path.commonpath([target, os.path.realpath(os.path.dirname(link))]) == target:
            self._lose(name, "a link to a folder that holds it, which is not followed")
        else:
            yield from self._files(link, f"{name}/", f"{self._inside(link)}/")

    def _inside(self, link: str) -> str:
        """What a link leads to, as a name of this source."""
        return Path(os.path.relpath(os.path.realpath(link), self._root)).as_posix()

    def _lose(self, name: str, reason: str) -> None:
        self.lost.append((name.rstrip("/"), reason))

    def _leads_out(self, link: str) -> bool:
        """Whether a link leads elsewhere: neither into the folder nor to one that holds it."""
        target = os.path.realpath(link)
        try:
            return os.path.commonpath([self._root, target]) not in (self._root, target)
        except ValueError:  # on another drive
            return True

    def open(self, name: str) -> IO[bytes]:
        return (self.folder / name).open("rb")

    def size(self, name: str) -> int:
        if name not in self._sizes:
            self._sizes[name] = os.stat(self.folder / name).st_size
        return self._sizes[name]


def where_of(path: Path) -> str:
    return f"data.source={path}"


def is_clutter(name: str) -> bool:
    """Whether a path holds a hidden file or folder, or what macOS and Windows add to folders and archives."""
    return any((part.startswith(".") and part != "..") or part.lower() in ADDED_FILES for part in name.split("/"))
