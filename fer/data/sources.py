"""What a user points at with `data.source`, as a flat list of named files: a folder, an archive, a table."""

import gzip
import logging
import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO

from fer.data.file_kinds import COMPRESSED, SNIFFED, STREAMS, is_archive, is_text, not_data
from fer.errors import DataError, PictureError

LARGEST_MEMBER = 1 << 26  # bytes; a face picture has a few thousand, so more is a decompression bomb
LARGEST_STREAM = 1 << 34  # bytes of a table or an inner archive once unpacked; FER2013's table has 3e8
MAX_NESTING = 3  # archives within archives
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
ARCHIVE_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2")
TABLES = (".csv", ".tsv", ".tab", ".parquet")
TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
PARQUET = b"PAR1"
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError)


log = logging.getLogger(__name__)


class Source:
    """Files by relative POSIX path, in sorted order; nothing is ever extracted to disk.

    Attributes:
        names: of the files.
        where: what errors call the source.
        links: names of links to files that `names` holds already -> the name of that file.
        lost: what is there and cannot be listed, with the reason.
    """

    largest: int | None = LARGEST_MEMBER  # bytes that `read` takes; None: any number

    def __init__(self, names: Iterable[str], where: str) -> None:
        self.names, self.where = sorted(names), where
        self.links: dict[str, str] = {}
        self.lost: list[tuple[str, str]] = []

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
        super().__init__((), where or _where(folder))
        self.folder, self._root = folder, os.path.realpath(folder)
        self._entered: dict[tuple[int, int], str] = {}
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
            if not _is_clutter(entry.name):
                yield from self._entry(entry, f"{inside}{entry.name}", None if real is None else f"{real}{entry.name}")

    def _entry(self, entry: os.DirEntry[str], name: str, real: str | None) -> Iterator[str]:
        try:
            kind = os.stat(entry.path).st_mode
        except OSError as error:  # a dead link, or one to itself
            into = f"a link into {os.path.dirname(os.readlink(entry.path)) or '.'} that " if entry.is_symlink() else ""
            self._lose(name, f"{into}cannot be opened ({error.strerror or error})")
            return
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
        return (self.folder / name).stat().st_size


class ZipSource(Source):
    """The members of a zip archive, read in memory."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self.archive = archive
        files = [entry for entry in archive.infolist() if not entry.is_dir()]
        self.sizes = {entry.filename: entry.file_size for entry in files}
        _check_names(self.sizes, where)
        self.members = {name.removeprefix("./").replace("\\", "/"): name for name in self.sizes}
        super().__init__((name for name in self.members if not _is_clutter(name)), where)
        self.lost += _twice(name.filename.removeprefix("./").replace("\\", "/") for name in files)

    def open(self, name: str) -> IO[bytes]:
        with self._one_error(name):
            return self.archive.open(self.members[name])

    def read(self, name: str) -> bytes:
        with self._one_error(name):
            return super().read(name)

    def size(self, name: str) -> int:
        return self.sizes[self.members[name]]

    @contextmanager
    def _one_error(self, name: str) -> Iterator[None]:
        """Turn whatever zipfile raises into a DataError."""
        try:
            yield
        except DAMAGE as error:
            raise DataError(f"{self.where} is a damaged .zip archive ({name}: {error}); download it again") from error
        except (RuntimeError, NotImplementedError) as error:  # encrypted, or of an unknown compression
            raise DataError(f"{self.where}: {error}; unpack it and give the folder instead") from error


class TarSource(Source):
    """The regular files of a tar archive that is not compressed (or no longer).

    A hard link is the file again, as `tar` stores one that has two names; other links are not followed.
    """

    def __init__(self, archive: tarfile.TarFile, where: str) -> None:
        self.archive = archive
        every = {id(member): member.name.removeprefix("./") for member in archive}
        files = [member for member in archive if member.isreg()]
        self.members = {every[id(member)]: member for member in files}
        for member in archive:
            if member.islnk() and (linked := self.members.get(member.linkname.removeprefix("./"))):
                self.members.setdefault(every[id(member)], linked)
        _check_names(self.members, where)
        super().__init__((name for name in self.members if not _is_clutter(name)), where)
        self.lost += _twice(every[id(member)] for member in files)
        unfollowed = (member for member in archive if not member.isdir() and every[id(member)] not in self.members)
        self.lost += [
            (
                every[id(member)],
                f"a link to {member.linkname}, which is not followed in an archive" if member.issym() else "no file",
            )
            for member in unfollowed
            if not _is_clutter(every[id(member)])
        ]

    def open(self, name: str) -> IO[bytes]:
        file = self.archive.extractfile(self.members[name])
        assert file is not None, "only regular files are listed"
        return file

    def size(self, name: str) -> int:
        return self.members[name].size


class FileSource(Source):
    """A single file: a table, perhaps out of a compressed one."""

    largest = None

    def __init__(self, file: IO[bytes], name: str, where: str) -> None:
        super().__init__([name], where)
        self.file = file

    def open(self, name: str) -> IO[bytes]:
        copy = os.fdopen(os.dup(self.file.fileno()), "rb")
        copy.seek(0)
        return copy

    def size(self, name: str) -> int:
        return os.fstat(self.file.fileno()).st_size


class NestedSource(Source):
    """An archive with archives in it, as Kaggle ships them: inner files are named below their archive."""

    def __init__(self, outer: Source, inner: dict[str, Source]) -> None:
        self.of: dict[str, tuple[Source, str]] = {name: (outer, name) for name in outer.names if name not in inner}
        lost = list(outer.lost)
        for archive, source in inner.items():
            prefix = f"{_without_suffix(archive)}/"
            if isinstance(source, FileSource):  # fer2013.csv.gz holds fer2013.csv
                prefix = archive[: len(archive) - len(PurePosixPath(archive).name)]
            within = {f"{prefix}{name}": (source, name) for name in source.names}
            lost += [(f"{prefix}{name}", reason) for name, reason in source.lost]
            lost += [(name, f"{archive} holds another file of this name") for name in within if name in self.of]
            self.of |= {name: place for name, place in within.items() if name not in self.of}
        super().__init__(self.of, outer.where)
        self.links, self.lost = outer.links, lost
        self.of |= {link: (outer, link) for link in outer.links}

    def read(self, name: str) -> bytes:
        source, inner = self.of[name]
        return source.read(inner)

    def open(self, name: str) -> IO[bytes]:
        source, inner = self.of[name]
        return source.open(inner)

    def size(self, name: str) -> int:
        source, inner = self.of[name]
        return source.size(inner)


def _where(path: Path) -> str:
    return f"data.source={path}"


def _check_names(names: Iterable[str], where: str) -> None:
    """Nothing is extracted, but names go into the pack's table, where a path must not lead out of the data set."""
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
            raise DataError(f"{where} holds a path that leads out of it ({name}): such an archive is not read")


def _twice(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names that an archive has more than once, but for the last, which is the one that is read."""
    counts = Counter(name for name in names if not _is_clutter(name))
    return [
        (name, "is in the archive more than once: the last is read") for name, number in counts.items() if number > 1
    ]


def _without_suffix(name: str) -> str:
    suffix = next((suffix for suffix in sorted(ARCHIVES, key=len, reverse=True) if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def _is_clutter(name: str) -> bool:
    """Whether a path holds a hidden file or folder, or what macOS adds to archives."""
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in name.split("/"))


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a folder, an archive (with archives in it) or a table; what a file is, its content says, not its name.

    Raises:
        DataError: nothing is at `path`, or it is none of these, or damaged.
    """
    where = _where(path)
    if not path.exists():
        raise DataError(f"{where} does not exist")
    with ExitStack() as stack:
        if path.is_dir():
            source: Source = FolderSource(path)
        else:
            try:
                file = stack.enter_context(path.open("rb"))
            except OSError as error:
                raise DataError(f"{where} cannot be read ({error.strerror or error})") from error
            source = _open_file(file, path.name, where, stack)
        yield _with_inner(source, where, stack, 1)


def _open_file(file: IO[bytes], name: str, where: str, stack: ExitStack) -> Source:
    """An archive, or a single table, whose name gets the suffix of one."""
    head = file.read(SNIFFED)
    file.seek(0)
    if what := not_data(head):
        raise DataError(f"{where} is {what}")
    suffix = PurePosixPath(name).suffix.lower()
    if head.startswith(PARQUET) or (suffix == ".parquet" and not is_archive(head)):
        return FileSource(file, name if suffix == ".parquet" else f"{name}.parquet", where)
    named_otherwise = suffix in ARCHIVE_SUFFIXES and b"pixels" not in head.replace(b"\0", b"").lower()
    if is_archive(head) or named_otherwise or not is_text(head):
        return _open_archive(file, name, where, stack)
    return FileSource(file, name if suffix in TEXT_SUFFIXES else f"{name}.csv", where)


def _open_archive(file: IO[bytes], name: str, where: str, stack: ExitStack) -> Source:
    file.seek(0)
    start = file.read(6)
    file.seek(0)
    try:
        if zipfile.is_zipfile(file):
            archive = stack.enter_context(zipfile.ZipFile(file))
            if "xl/workbook.xml" in archive.namelist():
                raise DataError(f"{where} is an Excel workbook: save its sheet as .csv")
            return ZipSource(archive, where)
        file.seek(0)
        unpack = next((opener for magic, opener in STREAMS.items() if start.startswith(magic)), None)
        if unpack is not None:  # random access into a compressed stream would unpack it for every picture
            with unpack(file) as unpacking:
                file = _unpacked(unpacking, where, stack)
            head = file.read(SNIFFED)
            file.seek(0)
            if not is_archive(head) and not tarfile.is_tarfile(file):
                file.seek(0)
                return _open_file(file, _uncompressed_name(name), where, stack)
            file.seek(0)
        return TarSource(stack.enter_context(tarfile.open(fileobj=file)), where)
    except (*DAMAGE, NotImplementedError, ValueError, OSError) as error:
        kind = "a damaged .zip archive" if start[:2] == b"PK" else "neither a folder nor a whole archive or table"
        raise DataError(f"{where} is {kind} (is {name} truncated? {' '.join(str(error).split())[:120]})") from error


def _uncompressed_name(name: str) -> str:
    """What a compressed file holds: `fer2013.csv.gz` -> `fer2013.csv`, `fer2013.tgz` that is no archive -> fer2013."""
    plain = PurePosixPath(name).with_suffix("").as_posix() if name.lower().endswith(COMPRESSED) else name
    return _without_suffix(plain)


def _is_inner(source: Source, name: str) -> bool:
    """Whether a file is to be opened as an archive; a table's name may hide one."""
    lower = name.lower()
    if lower.endswith((*ARCHIVES, *(f"{table}{suffix}" for table in TABLES for suffix in COMPRESSED))):
        return True
    if not lower.endswith(TABLES) or isinstance(source, FileSource):
        return False
    try:
        with source.open(name) as file:
            head = file.read(SNIFFED)
    except OSError:  # its reader will say so
        return False
    return is_archive(head)


def _with_inner(source: Source, where: str, stack: ExitStack, depth: int) -> Source:
    """The same source with the archives in it opened."""
    found = [name for name in source.names if _is_inner(source, name)]
    if not found:
        return source
    if depth > MAX_NESTING:
        raise DataError(f"{where}: archives within archives more than {MAX_NESTING} deep ({found[0]})")
    inner, beside = {}, set(source.names)
    for name in found:
        try:
            file = stack.enter_context(source.open(name))
            if not isinstance(source, FolderSource):
                file = _unpacked(file, where, stack)
        except DAMAGE as error:
            reason = " ".join(str(error).split())[:120]
            raise DataError(f"{where}, {name} is damaged ({reason}): download it again") from error
        except OSError as error:
            raise DataError(f"{where}, {name} cannot be read ({error.strerror or error})") from error
        if what := not_data(file.read(SNIFFED)):
            raise DataError(f"{where}, {name} is {what}")
        opened = _open_archive(file, PurePosixPath(name).name, f"{where}, {name}", stack)
        if _is_extracted(name, opened, source, beside):
            log.warning("%s: what %s holds is beside it, too; it is read once", where, name)
            continue
        inner[name] = _with_inner(opened, f"{where}, {name}", stack, depth + 1)
    return NestedSource(source, inner)


def _is_extracted(archive: str, opened: Source, outer: Source, beside: set[str]) -> bool:
    """Whether all that an archive holds is beside it, or in a folder of its name: it would be read twice.

    By names and sizes: `train.zip` and `test.zip` may hold other pictures of the same names.
    """

    def lies(place: str, name: str) -> bool:
        there = f"{place}/{name}".lstrip("/")
        return there in beside and outer.size(there) == opened.size(name)

    places = (archive.rpartition("/")[0], _without_suffix(archive))
    return bool(opened.names) and any(all(lies(place, name) for name in opened.names) for place in places)


def _unpacked(stream: IO[bytes] | BufferedIOBase, where: str, stack: ExitStack) -> IO[bytes]:
    """All of a stream in a temporary file without a name, for access in any order."""
    into = stack.enter_context(tempfile.TemporaryFile(prefix="fer-"))  # noqa: SIM115 - the stack closes it
    while block := stream.read(1 << 20):
        into.write(block)
        if into.tell() > LARGEST_STREAM:
            raise DataError(f"{where} unpacks to more than {LARGEST_STREAM >> 30} GiB: unpack it and give the folder")
    into.seek(0)
    return into
