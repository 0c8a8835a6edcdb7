"""Frames of a video file, a camera or a stream."""

import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple
from urllib.parse import urlsplit

import cv2
import numpy as np

from fer.data.file_kinds import SNIFFED, not_data
from fer.errors import PictureError
from fer.faces.pictures import MAX_PIXELS

log = logging.getLogger(__name__)

DEFAULT_RATE = 25.0  # frames per second, if the file does not say
MAX_FAILURES = 50  # frames in a row that cannot be read: the end
PATIENCE = 15.0  # seconds that a camera or stream may be silent
PROTOCOLS = ("http", "https", "rtsp", "rtsps", "rtmp", "rtp", "udp", "tcp", "srt")  # of addresses
# Set when FFmpeg opens something: a file may be a playlist, and none may send us to the network, nor a stream to files.
FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
FILE_OPTIONS = "protocol_whitelist;file"
STREAM_OPTIONS = "rtsp_transport;tcp|protocol_whitelist;crypto,tls,httpproxy,rtmpt,rtmps," + ",".join(PROTOCOLS)
CONVERT_HELP = "convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"
UNREADABLE_HELP = f"it may be cut short, or hold sound alone; else {CONVERT_HELP}"


@dataclass(frozen=True)
class VideoFacts:
    """What a video says of itself."""

    path: str
    width: int  # pixels
    height: int
    rate: float  # frames a second
    frames: int  # 0 where unknown
    live: bool = False  # a camera, or a stream without an end: frames that nobody waits for are lost

    @property
    def name(self) -> str:
        """The path, without passwords and what else is secret of an address."""
        return shown_name(self.path)


class Frame(NamedTuple):
    """One frame as it is read."""

    number: int  # from 0
    seconds: float
    pixels: np.ndarray  # uint8 [H, W, 3], BGR
    due: bool  # whether it is to be searched for faces


def is_camera(path: str) -> bool:
    """Whether it is the number of a camera."""
    return path.isascii() and path.isdigit()


def is_stream(path: str) -> bool:
    """Whether it is an address."""
    return path.lower().startswith(tuple(f"{protocol}://" for protocol in PROTOCOLS))


def shown_name(path: str) -> str:
    """How a video is named in results: an address without user, password and query; `camera 0`."""
    if is_camera(path):
        return f"camera {path}"
    if not is_stream(path):
        return path
    parts = urlsplit(path)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _not_video(path: str) -> str | None:
    """What a file is that begins as no video does: empty, a web page, an archive, and what to do."""
    try:
        with open(path, "rb") as file:
            return not_data(file.read(SNIFFED))
    except OSError as error:
        raise PictureError(f"{path} cannot be read ({error.strerror})") from error


def open_video(path: str) -> tuple[cv2.VideoCapture, VideoFacts]:
    """Open a video file, a camera by its number, or the address of a stream.

    Raises:
        PictureError: missing, or nothing that FFmpeg can read.
    """
    name = shown_name(path)
    if not (is_camera(path) or is_stream(path) or os.path.isfile(path)):
        raise PictureError(f"there is no video {path}")
    if os.path.isfile(path) and (what := _not_video(path)):
        raise PictureError(f"{name} is {what}")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    capture = _opened(path)
    width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if not capture.isOpened() or width * height <= 0:
        if is_camera(path):
            raise PictureError(f"{name} cannot be opened: is it there, may you use it, does another program have it?")
        what = "is it the address of a video, and can this machine reach it?" if is_stream(path) else UNREADABLE_HELP
        raise PictureError(f"{name} cannot be read as a video; {what}")
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{name} has frames of {width}x{height} pixels, over the limit of {MAX_PIXELS // 10**6} million"
        )
    rate, frames = capture.get(cv2.CAP_PROP_FPS), max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    live = is_camera(path) or (is_stream(path) and not frames)
    return capture, VideoFacts(path, width, height, rate if 1e-3 <= rate <= 480 else DEFAULT_RATE, frames, live)


def _opened(path: str) -> cv2.VideoCapture:
    cv2.utils.logging.setLogLevel(2)  # errors alone: what fails is said in one line of ours
    if is_camera(path):
        return cv2.VideoCapture(int(path))
    own = os.environ.get(FFMPEG_OPTIONS)  # of the user: it counts
    os.environ[FFMPEG_OPTIONS] = own or (STREAM_OPTIONS if is_stream(path) else FILE_OPTIONS)
    try:
        if is_stream(path):
            milliseconds = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC]
            limits = [value for key in milliseconds for value in (key, round(1000 * PATIENCE))]
            return cv2.VideoCapture(path, cv2.CAP_FFMPEG, limits)
        return cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)
    finally:
        if own is None:
            del os.environ[FFMPEG_OPTIONS]


def read_frames(
    capture: cv2.VideoCapture,
    facts: VideoFacts,
    per_second: float | None,
    seconds: float | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Frame]:
    """All frames in order, of which `per_second` are due (None: all); damaged ones are left out.

    Args:
        capture: of `open_video`.
        facts: likewise.
        per_second: frames that are searched for faces.
        seconds: after which it ends; None: with the video.
        stop: ends it.
    """
    next_due = 0.0
    for number, (at, pixels) in enumerate(_live(capture, stop) if facts.live else _recorded(capture, facts)):
        if (seconds is not None and at >= seconds) or (stop is not None and stop.is_set()):
            return
        due = per_second is None or at >= next_due - 1e-6
        if due and per_second is not None:
            next_due = (math.floor(at * per_second + 1e-6) + 1) / per_second
        yield Frame(number, at, pixels, due)


def _recorded(capture: cv2.VideoCapture, facts: VideoFacts) -> Iterator[tuple[float, np.ndarray]]:
    """Frames and their seconds, by the time stamps where they grow."""
    seconds = 0.0
    for number in count():
        pixels = _next_pixels(capture)
        if pixels is None:
            return
        stated = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        seconds = stated if stated > seconds or number == 0 else max(number / facts.rate, seconds)
        yield seconds, pixels


def _live(capture: cv2.VideoCapture, stop: threading.Event | None) -> Iterator[tuple[float, np.ndarray]]:
    """Frames as they come, and the seconds since the first one. Of those that come while nobody asks, the newest."""
    newest: list[tuple[float, np.ndarray]] = []
    arrived, done = threading.Condition(), threading.Event()

    def watch() -> None:
        while not done.is_set() and (pixels := _next_pixels(capture)) is not None:
            with arrived:
                newest[:] = [(time.monotonic(), pixels)]
                arrived.notify()

    thread = threading.Thread(target=watch, name="camera", daemon=True)
    thread.start()
    began, last = None, time.monotonic()
    try:
        while not (stop is not None and stop.is_set()):
            with arrived:
                arrived.wait_for(lambda: newest, timeout=0.2)
                frame = newest.pop() if newest else None
                ended = frame is None and not thread.is_alive()
            if frame is not None:
                last = frame[0]
                began = last if began is None else began
                yield last - began, frame[1]
            elif ended or time.monotonic() - last > PATIENCE:
                log.warning("no frame comes any more: this is the end")
                return
    finally:
        done.set()
        thread.join(PATIENCE)  # nobody may release the capture while it is read


def _next_pixels(capture: cv2.VideoCapture) -> np.ndarray | None:
    """The next frame that can be read, uint8 [H, W, 3] (BGR); None at the end."""
    for _ in range(MAX_FAILURES):
        whole, pixels = capture.read()
        if whole:
            return np.asarray(pixels)
    return None
