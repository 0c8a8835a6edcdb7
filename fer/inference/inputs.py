"""What is to be predicted, and how: the pictures and videos that `input=` names, and the options."""

import glob
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fer.errors import ConfigError, DataError
from fer.faces.framing import Faces, check_faces
from fer.faces.pictures import PICTURES
from fer.inference.frames import is_camera, is_stream

VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".ogv", ".flv", ".ts")
LISTS = (".txt", ".lst")
INPUT_HELP = (
    "give input=PATH: a picture, a folder, a pattern as 'photos/*.jpg', a list file, a video, the number of a camera "
    "(0) or the address of a stream (rtsp://...)"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How to predict pictures and videos."""

    faces: Faces = "auto"  # see `EmotionClassifier.predict`
    smallest_face: float | None = None  # side of the smallest faces to search, pixels; None: see `conf/predict.yaml`
    batch_size: int = 64  # faces that go through the network at once
    annotate: bool = True  # draw boxes and labels into copies of the pictures, or into a copy of the video
    contact_sheet: bool = True  # draw sheets of the faces of pictures
    page: bool = True  # write results.html
    frames_per_second: float | None = 10.0  # of a video that are searched for faces; None: every frame
    smoothing: float = 0.5  # seconds over which the probabilities of a video are averaged; 0: not at all
    seconds: float | None = None  # of a video, camera or stream after which it ends; None: all

    def check(self) -> None:
        """Raises ConfigError where an option cannot work."""
        check_faces(self.faces)
        if self.smallest_face is not None and not self.smallest_face >= 8:
            raise ConfigError(f"smallest_face={self.smallest_face}: give 8 pixels or more")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size={self.batch_size}: give 1 or more")
        if self.smoothing < 0 or (self.frames_per_second is not None and self.frames_per_second <= 0):
            raise ConfigError(
                f"video.frames_per_second={self.frames_per_second}, video.smoothing={self.smoothing}: give a number "
                "over 0 (null is every frame) and one from 0"
            )
        if self.seconds is not None and not self.seconds > 0:
            raise ConfigError(f"video.seconds={self.seconds}: give a number over 0, or null for all")


@dataclass(frozen=True)
class Inputs:
    """Paths, each kind in the order in which it was named."""

    pictures: list[str] = field(default_factory=list)  # and files of any other kind, which may be no picture
    videos: list[str] = field(default_factory=list)


def list_inputs(source: str | Sequence[str]) -> Inputs:
    """The pictures and videos that `source` names.

    Args:
        source: a file; a folder, of which every picture counts, at any depth, and no video; a glob pattern (`**` is
            any depth); a list file (.txt, .lst), a path a line, relative to the working directory or to the list; the
            number of a camera; the address of a stream; or several.

    Raises:
        ConfigError: nothing given.
        DataError: nothing there, or no picture in it.
    """
    sources = [source] if isinstance(source, str) else [str(one) for one in source]
    if not sources or not all(sources):
        raise ConfigError(INPUT_HELP)
    inputs = Inputs()
    for path in (path for one in sources for path in _listed(one, len(sources) > 1)):
        (inputs.videos if _is_video(path) else inputs.pictures).append(path)
    return inputs


def _is_video(path: str) -> bool:
    return path.lower().endswith(VIDEOS) or is_camera(path) or is_stream(path)


def _listed(source: str, among_others: bool) -> list[str]:
    if is_camera(source) or is_stream(source):
        return [source]
    if os.path.isdir(source):
        inside = list(_below(source))
        found = [path for path in inside if not _is_video(path)]
        _check_videos(source, [path for path in inside if _is_video(path)], bool(found))
    elif os.path.lexists(source):
        found = _lines(source) if source.lower().endswith(LISTS) else [source]
    elif glob.has_magic(source):
        found = sorted(path for path in glob.glob(source, recursive=True) if not os.path.isdir(path))
    elif among_others:
        found = [source]  # it will be skipped with a warning
    else:
        raise DataError(f"there is no {source}; give input= a picture, folder, pattern, list file or video")
    if not found:
        raise DataError(f"no picture in {source}; pictures end in {', '.join(PICTURES[:9])}, …")
    return found


def _check_videos(folder: str, videos: list[str], pictures: bool) -> None:
    """Report the videos of a folder, which are not predicted: they take hours, and telephones store one per picture."""
    if not videos:
        return
    pattern = os.path.join(os.path.dirname(videos[0]), f"*{os.path.splitext(videos[0])[1]}")
    text = f"{len(videos):,} video{'s' * (len(videos) > 1)} in {folder}"
    if not pictures:
        raise DataError(f"no picture, but {text}; for them give input='{pattern}'")
    log.warning("left out: %s; for them give input='%s'", text, pattern)


def _below(folder: str) -> Iterator[str]:
    """Pictures and videos in a folder and the folders below it, by name; links are followed, each folder once."""
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
