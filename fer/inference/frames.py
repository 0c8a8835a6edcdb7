"""Frames of a video file, and frames into one."""

import logging
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fer.errors import DataError, PictureError
from fer.faces.pictures import MAX_PIXELS

log = logging.getLogger(__name__)

DEFAULT_RATE = 25.0  # frames per second, if the file does not say
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
    return capture, VideoFacts(path, width, height, rate if 1 <= rate <= 480 else DEFAULT_RATE, max(frames, 0))


def read_frames(capture: cv2.VideoCapture, facts: VideoFacts, per_second: float | None) -> Iterator[Frame]:
    """All frames in order, of which `per_second` are due (None: all)."""
    seconds = next_due = 0.0
    for number in count():
        whole, pixels = capture.read()
        if not whole:
            return
        stated = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        seconds = stated if stated > seconds or number == 0 else max(number / facts.rate, seconds)
        due = per_second is None or seconds >= next_due - 1e-6
        if due and per_second is not None:
            next_due = (math.floor(seconds * per_second + 1e-6) + 1) / per_second
        yield Frame(number, seconds, pixels, due)


@contextmanager
def video_copy(path: Path, facts: VideoFacts, size: tuple[int, int]) -> Iterator[Callable[[np.ndarray], None]]:
    """Write frames, uint8 [h, w, 3] (RGB), as MPEG-4; the file is whole or absent.

    Args:
        path: ends in .mp4.
        facts: of the original, for its rate.
        size: width and height of the frames, pixels, both even.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    writer = cv2.VideoWriter(temporary, cv2.VideoWriter.fourcc(*"mp4v"), facts.rate, size)
    try:
        if not writer.isOpened():
            raise DataError("this OpenCV cannot write MPEG-4 video; give annotate=false")
        yield lambda pixels: writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        writer.release()
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        writer.release()
        Path(temporary).unlink(missing_ok=True)
