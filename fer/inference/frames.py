"""Frames of a video file, and frames into one."""

import logging
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fer.errors import DataError, PictureError
from fer.faces.pictures import MAX_PIXELS

log = logging.getLogger(__name__)

DEFAULT_RATE = 25.0  # frames per second, if the file does not say
RATE_FRAMES, MAX_COPY_RATE = 25, 60.0  # frames whose time stamps tell the rate at the start; frames a second of a copy
MAX_FAILURES = 50  # frames in a row that cannot be read: the end
# Set before FFmpeg opens anything: a file may be a playlist, and no playlist may send us to the network.
FFMPEG_SETTINGS = {"OPENCV_FFMPEG_CAPTURE_OPTIONS": "protocol_whitelist;file", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
CONVERT_HELP = "convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"


@dataclass(frozen=True)
class VideoFacts:
    """What a video file says of itself."""

    path: str
    width: int  # pixels
    height: int
    rate: float  # frames a second
    frames: int  # 0 where unknown


class Frame(NamedTuple):
    """One frame as it is read."""

    number: int  # from 0
    seconds: float
    pixels: np.ndarray  # uint8 [H, W, 3], BGR
    due: bool  # whether it is to be searched for faces


def open_video(path: str) -> tuple[cv2.VideoCapture, VideoFacts]:
    """Open a video file.

    Raises:
        PictureError: missing, or nothing that FFmpeg can read.
    """
    if not os.path.isfile(path):
        raise PictureError(f"there is no video {path}")
    for name, value in FFMPEG_SETTINGS.items():
        os.environ.setdefault(name, value)
    capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)
    width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if not capture.isOpened() or width * height <= 0:
        raise PictureError(f"{path} cannot be read as a video; {CONVERT_HELP}")
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{path} has frames of {width}x{height} pixels, over the limit of {MAX_PIXELS // 10**6} million"
        )
    rate, frames = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return capture, VideoFacts(path, width, height, rate if 1e-3 <= rate <= 480 else DEFAULT_RATE, max(frames, 0))


def read_frames(capture: cv2.VideoCapture, facts: VideoFacts, per_second: float | None) -> Iterator[Frame]:
    """All frames in order, of which `per_second` are due (None: all); damaged ones are left out."""
    seconds = next_due = 0.0
    for number in count():
        pixels = _next_pixels(capture)
        if pixels is None:
            return
        stated = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        seconds = stated if stated > seconds or number == 0 else max(number / facts.rate, seconds)
        due = per_second is None or seconds >= next_due - 1e-6
        if due and per_second is not None:
            next_due = (math.floor(seconds * per_second + 1e-6) + 1) / per_second
        yield Frame(number, seconds, pixels, due)


def _next_pixels(capture: cv2.VideoCapture) -> np.ndarray | None:
    """The next frame that can be read, uint8 [H, W, 3] (BGR); None at the end."""
    for _ in range(MAX_FAILURES):
        whole, pixels = capture.read()
        if whole:
            return np.asarray(pixels)
    return None


def copy_rate(facts: VideoFacts) -> float:
    """Frames a second of a copy: that of the file, or of its start where time stamps there say that it is higher.

    Telephones and conference programs record at a rate that changes; the mean, which the file gives, may be far lower.
    """
    capture, _ = open_video(facts.path)
    try:
        times = [frame.seconds for frame in islice(read_frames(capture, facts, None), RATE_FRAMES)]
    finally:
        capture.release()
    steps = np.diff(times)
    at_start = 1 / float(np.median(steps)) if len(steps) and np.median(steps) > 0 else 0.0
    return facts.rate if at_start < 1.1 * facts.rate else min(at_start, MAX_COPY_RATE)


class VideoCopy:
    """Frames in a WebM file (VP8, no sound), each shown at its time: repeated, or left out, as the rate wants it.

    Args:
        path: of the file.
        rate: of the copy, frames a second.
        size: width and height, pixels, both even.

    Raises:
        DataError: OpenCV cannot write it.
    """

    def __init__(self, path: Path, rate: float, size: tuple[int, int]) -> None:
        self.rate, self.written = rate, 0
        self._waiting: np.ndarray | None = None  # the last frame, until it is known for how long it is shown
        self._start: float | None = None
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), rate, size)
        if not self._writer.isOpened():
            raise DataError("this OpenCV cannot write WebM video (VP8); give annotate=false")

    def add(self, seconds: float, pixels: np.ndarray) -> None:
        """Take the next frame, uint8 [h, w, 3] (RGB), and the time at which it is shown."""
        self._start = seconds if self._start is None else self._start
        self._fill(round((seconds - self._start) * self.rate))
        self._waiting = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)

    def close(self) -> None:
        self._fill(self.written + 1)
        self._writer.release()

    def _fill(self, count: int) -> None:
        while self._waiting is not None and self.written < count:
            self._writer.write(self._waiting)
            self.written += 1


@contextmanager
def video_copy(path: Path, facts: VideoFacts, size: tuple[int, int]) -> Iterator[Callable[[float, np.ndarray], None]]:
    """Write frames, their seconds and uint8 [h, w, 3] (RGB), as WebM; the file can be read, or is absent.

    Args:
        path: ends in .webm.
        facts: of the original.
        size: width and height of the frames, pixels, both even.

    Raises:
        DataError: the file cannot be written, or not be read back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    copy = None
    try:
        copy = VideoCopy(Path(temporary), copy_rate(facts), size)
        yield copy.add
        copy.close()
        _check_copy(temporary, size, copy)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        if copy is not None:
            copy._writer.release()
        Path(temporary).unlink(missing_ok=True)


def _check_copy(path: str, size: tuple[int, int], copy: VideoCopy) -> None:
    """Raises DataError where a written video does not open, or lacks its last frames (a full disk, as a rule)."""
    if not copy.written:
        return
    try:
        capture, facts = open_video(path)
    except PictureError as error:
        raise DataError("the annotated video cannot be read back; free some space or give annotate=false") from error
    capture.set(cv2.CAP_PROP_POS_FRAMES, max(0, copy.written - 1))
    whole, _ = capture.read()
    capture.release()
    if not whole or (facts.width, facts.height) != size:
        raise DataError("the annotated video is not whole; free some space or give annotate=false")
