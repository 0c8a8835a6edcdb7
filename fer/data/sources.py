"""What a user points at with `data.source`, as a flat list of named files: a folder, an archive, a table."""

import gzip
import logging
import lzma
import os
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

from fer.data.file_kinds import COMPRESSED, SNIFFED, STREAMS, is_archive, is_text, not_data, other_kind
from fer.data.folder_source import FolderSource, Source, is_clutter, where_of
from fer.errors import DataError

LARGEST_STREAM = 1 << 34  # bytes of a table or an inner archive once unpacked; FER2013's table has 3e8
MAX_NESTING = 3  # archives within archives
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
ARCHIVE_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2")
TABLES = (".csv", ".tsv", ".tab", ".parquet")
TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
PARQUET = b"PAR1"
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError)


log = logging.getLogger(__name__)


class ZipSource(Source):
    """The members of a zip archive, read in memory."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self.archive = archive
        files = [entry for entry in archive.infolist() if not entry.is_dir()]
        self.sizes = {entry.filename: entry.file_size for entry in files}
        _check_names(self.sizes, where)
        self.members = {name.removeprefix("./").replace("\\", "/"): name for name in self.sizes}
        super().__init__((name for name in self.members if not is_clutter(name)), where)
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
        super().__init__((name for name in self.members if not is_clutter(name)), where)
        self.lost += _twice(every[id(member)] for member in files)
        unfollowed = (member for member in archive if not member.isdir() and every[id(member)] not in self.members)
        self.lost += [
            (
                every[id(member)],
                f"a link to {member.linkname}, which is not followed in an archive" if member.issym() else "no file",
            )
            for member in unfollowed
            if not is_clutter(every[id(member)])
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
        self.outer = outer
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

    @property
    def outermost(self) -> Source:
        return self.outer.outermost

    def read(self, name: str) -> bytes:
        source, inner = self.of[name]
        return source.read(inner)

    def open(self, name: str) -> IO[bytes]:
        source, inner = self.of[name]
        return source.open(inner)

    def size(self, name: str) -> int:
        source, inner = self.of[name]
        return source.size(inner)


def _check_names(names: Iterable[str], where: str) -> None:
    """Nothing is extracted, but names go into the pack's table, where a path must not lead out of the data set."""
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
            raise DataError(f"{where} holds a path that leads out of it ({name}): such an archive is not read")


def _twice(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names that an archive has more than once, but for the last, which is the one that is read."""
    counts = Counter(name for name in names if not is_clutter(name))
    return [
        (name, "is in the archive more than once: the last is read") for name, number in counts.items() if number > 1
    ]


def _without_suffix(name: str) -> str:
    suffix = next((suffix for suffix in sorted(ARCHIVES, key=len, reverse=True) if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a folder, an archive (with archives in it) or a table; what a file is, its content says, not its name.

    Raises:
        DataError: nothing is at `path`, or it is none of these, or damaged.
    """
    where = where_of(path)
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
    start = file.read(12)
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
        if what := other_kind(start, name):
            raise DataError(f"{where} is {what}") from error
        kind = "a damaged .zip archive" if start[:2] == b"PK" else "neither a folder nor a whole archive or table"
        said = " ".join(str(error).split())
        said = "" if said.startswith("file could not be opened") else f" {said[:120]}"  # a list of all that it is not
        raise DataError(f"{where} is {kind} (is {name} truncated?{said})") from error


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
