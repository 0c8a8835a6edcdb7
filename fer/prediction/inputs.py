"""What `input=` names: pictures one by one, or a video."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from fer.data.pictures import PICTURES
from fer.errors import ConfigError, DataError

VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".ogv", ".flv", ".ts")
LISTS = (".txt", ".lst")


def is_video(source: str) -> bool:
    return source.lower().endswith(VIDEOS) and not os.path.isdir(source)


def list_pictures(source: str | Sequence[str]) -> list[str]:
    """The paths of the pictures that `source` names, in order.

    Args:
        source: a file; a folder, of which every picture counts, at any depth; a glob pattern (`**` is any depth);
            a list file (.txt, .lst), a path a line, relative to the working directory or to the list; or several.

    Raises:
        ConfigError: nothing given.
        DataError: nothing there, or no picture in it.
    """
    sources = [source] if isinstance(source, str) else [str(one) for one in source]
    if not sources or not all(sources):
        raise ConfigError("give input=PATH: a picture, a folder, a pattern as 'photos/*.jpg', a list file or a video")
    return [path for one in sources for path in _listed(one)]


def _listed(source: str) -> list[str]:
    if os.path.isdir(source):
        found = list(_below(source))
    elif os.path.lexists(source):
        found = _lines(source) if source.lower().endswith(LISTS) else [source]
    elif glob.has_magic(source):
        found = sorted(path for path in glob.glob(source, recursive=True) if not os.path.isdir(path))
    else:
        raise DataError(f"there is no {source}; give input= a picture, folder, pattern, list file or video")
    if not found:
        raise DataError(f"no picture in {source}; pictures end in {', '.join(PICTURES[:9])}, …")
    return found


def _below(folder: str) -> Iterator[str]:
    """Pictures in a folder and the folders below it, by name; links to folders are followed, but not in circles."""
    waiting, seen = [folder], set()
    while waiting:
        here = waiting.pop()
        try:
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(here) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:  # a folder that may not be read, or went away
            continue
        inner = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                inner.append(entry.path)
            elif entry.name.lower().endswith(PICTURES):
                yield entry.path
        waiting.extend(reversed(inner))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _lines(file: str) -> list[str]:
    try:
        text = Path(file).read_bytes().decode("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"the list {file} cannot be read: {error.strerror}") from error
    lines = [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    beside = os.path.dirname(file)
    return [line if os.path.lexists(line) else os.path.join(beside, line) for line in lines]
