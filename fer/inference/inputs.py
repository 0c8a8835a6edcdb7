"""What `input=` names: pictures and videos, one by one."""

import glob
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fer.errors import ConfigError, DataError
from fer.faces.pictures import PICTURES

VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".ogv", ".flv", ".ts")
LISTS = (".txt", ".lst")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """Paths, each kind in the order in which it was named."""

    pictures: list[str] = field(default_factory=list)  # and files of any other kind, which will be told apart when read
    videos: list[str] = field(default_factory=list)


def list_inputs(source: str | Sequence[str]) -> Inputs:
    """The pictures and videos that `source` names.

    Args:
        source: a file; a folder, of which every picture counts, at any depth, and no video; a glob pattern (`**` is
            any depth); a list file (.txt, .lst), a path a line, relative to the working directory or to the list; or
            several.

    Raises:
        ConfigError: nothing given.
        DataError: nothing there, or no picture in it.
    """
    sources = [source] if isinstance(source, str) else [str(one) for one in source]
    if not sources or not all(sources):
        raise ConfigError("give input=PATH: a picture, a folder, a pattern as 'photos/*.jpg', a list file or a video")
    inputs = Inputs()
    for path in (path for one in sources for path in _listed(one, len(sources) > 1)):
        (inputs.videos if _is_video(path) else inputs.pictures).append(path)
    return inputs


def _is_video(path: str) -> bool:
    return path.lower().endswith(VIDEOS)


def _listed(source: str, among_others: bool) -> list[str]:
    if os.path.isdir(source):
        inside = list(_below(source))
        found = [path for path in inside if not _is_video(path)]
        _tell_of_videos(source, [path for path in inside if _is_video(path)], bool(found))
    elif os.path.lexists(source):
        found = _lines(source) if source.lower().endswith(LISTS) else [source]
    elif glob.has_magic(source):
        found = sorted(path for path in glob.glob(source, recursive=True) if not os.path.isdir(path))
    elif among_others:
        found = [source]  # it will be named and skipped
    else:
        raise DataError(f"there is no {source}; give input= a picture, folder, pattern, list file or video")
    if not found:
        raise DataError(f"no picture in {source}; pictures end in {', '.join(PICTURES[:9])}, …")
    return found


def _tell_of_videos(folder: str, videos: list[str], pictures: bool) -> None:
    """Videos are hours of work that nobody may have asked for, as the moving halves of a telephone's pictures."""
    if not videos:
        return
    pattern = os.path.join(os.path.dirname(videos[0]), f"*{os.path.splitext(videos[0])[1]}")
    text = f"{len(videos):,} video{'s' * (len(videos) > 1)} in {folder}"
    if not pictures:
        raise DataError(f"no picture, but {text}; for them give input='{pattern}'")
    log.warning("left out: %s; for them give input='%s'", text, pattern)


def _below(folder: str) -> Iterator[str]:
    """Pictures and videos in a folder and the folders below it, by name; links are followed, but not in circles."""
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
            elif entry.name.lower().endswith(PICTURES + VIDEOS):
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
