"""The annotated copy of a video: H.264 where PyAV is installed, else VP8; browsers play both."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from fer.errors import DataError, PictureError
from fer.inference.frames import VideoFacts, open_video, read_frames

RATE_FRAMES, MAX_RATE = 25, 60.0  # frames whose time stamps tell the rate at the start; frames a second of a copy
MILLISECOND = Fraction(1, 1000)
UNREADABLE = "the annotated video {what}; free some space or give annotate=false"


class Copy(Protocol):
    """Frames into a file, each shown from its time on."""

    written: int  # frames in the file

    def add(self, seconds: float, pixels: np.ndarray) -> None:
        """Take the next frame, uint8 [h, w, 3] (RGB), and the time at which it is shown."""

    def close(self) -> None: ...

    def ends_whole(self, path: str) -> bool:
        """Whether the last frame can be read back from the closed file."""


class WebMCopy:
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
        self._start = seconds if self._start is None else self._start
        self._fill(round((seconds - self._start) * self.rate))
        self._waiting = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)

    def close(self) -> None:
        self._fill(self.written + 1)
        self._waiting = None
        self._writer.release()

    def ends_whole(self, path: str) -> bool:
        capture = cv2.VideoCapture(path)
        capture.set(cv2.CAP_PROP_POS_FRAMES, max(0, self.written - 1))
        whole, _ = capture.read()
        capture.release()
        return whole

    def _fill(self, count: int) -> None:
        while self._waiting is not None and self.written < count:
            self._writer.write(self._waiting)
            self.written += 1


class MP4Copy:
    """Frames in an MP4 file (H.264, no sound), each with its own time stamp.

    Args:
        path: of the file.
        rate: frames a second, for the length of the last frame.
        size: width and height, pixels, both even.
    """

    def __init__(self, path: Path, rate: float, size: tuple[int, int]) -> None:
        import av

        self._av, self._last, self._each, self.written = av, -1, max(1, round(1000 / rate)), 0
        self._start: float | None = None
        # The index in front: a browser shows the start before it has all of the file.
        self._file: Any = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        stream = self._file.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000))
        stream.width, stream.height = size
        stream.pix_fmt, stream.options = "yuv420p", {"preset": "veryfast", "crf": "23"}
        stream.codec_context.time_base = MILLISECOND
        self._stream = stream

    def add(self, seconds: float, pixels: np.ndarray) -> None:
        self._start = seconds if self._start is None else self._start
        self._last = max(round((seconds - self._start) * 1000), self._last + 1)
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.time_base = self._last, MILLISECOND
        file, self._file = self._file, None  # on a full disk to try again, or to close it, ends the process
        file.mux(self._stream.encode(frame))
        self._file, self.written = file, self.written + 1

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            for packet in self._stream.encode() if self.written else ():
                packet.duration = self._each  # else the last frame would have none, and not be seen
                file.mux(packet)
            file.close()

    def ends_whole(self, path: str) -> bool:
        with self._av.open(path) as file:  # OpenCV counts frames by the mean rate, which is no rate where it changes
            stream = file.streams.video[0]
            file.seek(int(self._last * MILLISECOND / (stream.time_base or MILLISECOND)), stream=stream)
            return any(frame.time * 1000 > self._last - 1 for frame in file.decode(stream))


def copy_suffix() -> str:
    """`.mp4` where PyAV is installed (`pip install -e ".[video]"`), else `.webm`."""
    return ".mp4" if find_spec("av") is not None else ".webm"


@contextmanager
def video_copy(path: Path, facts: VideoFacts, size: tuple[int, int]) -> Iterator[Callable[[float, np.ndarray], None]]:
    """Write frames, their seconds and uint8 [h, w, 3] (RGB), into a video; it can be read, or is absent.

    Args:
        path: ends in .mp4 (needs PyAV) or .webm.
        facts: of the original.
        size: width and height of the frames, pixels, both even.

    Raises:
        DataError: the file cannot be written, or not be read back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    kind: type[WebMCopy | MP4Copy] = MP4Copy if path.suffix == ".mp4" else WebMCopy
    copy: Copy | None = None
    try:
        copy = kind(Path(temporary), copy_rate(facts), size)
        yield copy.add
        copy.close()
        _check_copy(temporary, size, copy)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        try:
            if copy is not None:
                copy.close()
        finally:  # on a full disk closing fails too
            Path(temporary).unlink(missing_ok=True)


def copy_rate(facts: VideoFacts) -> float:
    """Frames a second of a copy: that of the file, or of its start where time stamps there say that it is higher.

    Telephones and conference programs record at a rate that changes; the mean, which the file gives, may be far lower.
    """
    if facts.live:
        return min(facts.rate, MAX_RATE)
    capture, _ = open_video(facts.path)
    try:
        times = [frame.seconds for frame in islice(read_frames(capture, facts, None), RATE_FRAMES)]
    finally:
        capture.release()
    steps = np.diff(times)
    at_start = 1 / float(np.median(steps)) if len(steps) and np.median(steps) > 0 else 0.0
    return facts.rate if at_start < 1.1 * facts.rate else min(at_start, MAX_RATE)


def _check_copy(path: str, size: tuple[int, int], copy: Copy) -> None:
    """Raises DataError where a written video does not open, or lacks its last frames (a full disk, as a rule)."""
    if not copy.written:
        return
    try:
        capture, facts = open_video(path)
    except PictureError as error:
        raise DataError(UNREADABLE.format(what="cannot be read back")) from error
    capture.release()
    if (facts.width, facts.height) != size or not copy.ends_whole(path):
        raise DataError(UNREADABLE.format(what="is not whole"))
