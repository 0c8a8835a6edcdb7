"""Emotions in a video: a timeline of each face, and a copy with boxes and labels."""

import csv
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from fer.errors import ConfigError, DataError, PictureError
from fer.faces.detector import FaceBox, central_square
from fer.faces.framing import Faces, FramedFaces
from fer.faces.pictures import grey_if_grey
from fer.files import replacing
from fer.inference.annotate import colour, draw_face
from fer.inference.frames import CONVERT, Frame, VideoFacts, open_video, read_frames, video_copy
from fer.inference.predictor import EmotionClassifier
from fer.inference.stream import in_order
from fer.inference.summary import Summary, progress_bar
from fer.inference.table import digits
from fer.inference.timeline import timeline_figure
from fer.inference.tracks import Track, Tracks

log = logging.getLogger(__name__)

HEADER = ("seconds", "frame", "face", "x", "y", "width", "height", "emotion", "probability")  # then of each class
COPY, TIMELINE, FIGURE = "annotated.mp4", "timeline.csv", "timeline.png"
SEARCH_SIDE = 640  # pixels of the longer side of frames in which faces are looked for
SHOWN_SIDE = 1280  # the same of the copy, at most
THREADS = min(4, os.cpu_count() or 1)  # that look for faces; each has four frames waiting
HELD = 48  # frames that wait for their batch, at most
STAYS = 0.35  # seconds for which a box stays in the copy after its face was seen; until the next look, if that is later


class Looked(NamedTuple):
    """A frame after its faces were looked for."""

    number: int  # from 0
    seconds: float
    shown: np.ndarray  # uint8 [h, w, 3] (RGB), at the size of the copy
    boxes: list[FaceBox]
    framed: FramedFaces | None  # None where nobody looked


def predict_video(
    classifier: EmotionClassifier,
    path: str,
    folder: Path,
    faces: Faces = "auto",
    batch_size: int = 64,
    annotate: bool = True,
    frames_per_second: float | None = 10.0,
    smoothing: float = 0.5,
) -> Summary:
    """Write `timeline.csv`, a row for each face in each frame that is looked at; its figure; an annotated copy.

    Args:
        classifier: of the faces.
        path: of the video.
        folder: where all goes.
        faces: see `EmotionClassifier.predict`.
        batch_size: faces that go through the network at once.
        annotate: whether to write the copy (MPEG-4, without sound).
        frames_per_second: that are looked at; None looks at every frame.
        smoothing: see `Tracks`.

    Raises:
        PictureError: no video, or none that can be read.
        DataError: the folder cannot be written.
        ConfigError: an option that cannot work.
    """
    if smoothing < 0 or (frames_per_second is not None and frames_per_second <= 0):
        raise ConfigError(
            f"video.frames_per_second={frames_per_second}, video.smoothing={smoothing}: give a number over 0 (null is "
            "every frame) and one from 0"
        )
    summary, started = Summary("frames"), time.perf_counter()
    capture, facts = open_video(path)
    size = _shown_size(facts)
    every = 1 / min(frames_per_second or facts.rate, facts.rate)
    tracks, seen = Tracks(smoothing, every), _Sightings()
    names = [*classifier.classes, *(f"raw_{name}" for name in classifier.classes)]
    try:
        with (
            replacing(folder / TIMELINE) as file,
            video_copy(folder / COPY, facts, size) if annotate else nullcontext() as write,
            progress_bar("frames") as progress,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow([*HEADER, *names])
            task = progress.add_task("predicting", total=facts.frames or None)
            frames = read_frames(capture, facts, frames_per_second)
            looked = in_order(frames, partial(_look, classifier, faces, size), THREADS)
            for one, probabilities in _with_probabilities(classifier, looked, batch_size):
                progress.advance(task)
                summary.pictures += 1
                for track in tracks.update(one.seconds, one.boxes, probabilities):
                    seen.add(one.seconds, track)
                    table.writerow(_row(one, track, classifier.classes))
                    summary.emotions[_best(track, classifier.classes)] += 1
                if write:
                    write(_drawn(one, tracks.seen(one.seconds, max(STAYS, 1.2 * every)), facts, classifier.classes))
            if not summary.pictures:
                raise PictureError(f"no frame of {path} can be read; {CONVERT}")
        with replacing(folder / FIGURE, "wb") as image:
            arrays = seen.arrays(len(classifier.classes))
            timeline_figure(*arrays, classifier.classes, tracks.forgotten).savefig(image, format="png")
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error}); free some space or give another output=") from error
    finally:
        capture.release()
    if summary.pictures < 0.95 * facts.frames:
        log.warning("%s ends early: %d of %d frames can be read", path, summary.pictures, facts.frames)
    summary.faces, summary.seconds = tracks.count, time.perf_counter() - started
    summary.files = [("timeline", folder / TIMELINE), ("figure", folder / FIGURE)]
    summary.files += [("annotated", folder / COPY)] if annotate else []
    return summary


class _Sightings:
    """What the figure is drawn from."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.faces: list[int] = []
        self.smoothed: list[np.ndarray] = []
        self.raw: list[np.ndarray] = []

    def add(self, seconds: float, track: Track) -> None:
        self.times.append(seconds)
        self.faces.append(track.face)
        self.smoothed.append(track.smoothed.astype(np.float32))
        self.raw.append(track.raw.astype(np.float32))

    def arrays(self, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        smoothed, raw = (np.array(rows).reshape(-1, classes) for rows in (self.smoothed, self.raw))
        return np.array(self.times), np.array(self.faces, dtype=int), smoothed, raw


def _shown_size(facts: VideoFacts) -> tuple[int, int]:
    """Width and height of the copy: at most SHOWN_SIDE, and even, as codecs want them."""
    shrink = max(1.0, max(facts.width, facts.height) / SHOWN_SIDE)
    return max(2, round(facts.width / shrink / 2) * 2), max(2, round(facts.height / shrink / 2) * 2)


def _look(classifier: EmotionClassifier, faces: Faces, size: tuple[int, int], read: Frame) -> Looked:
    """Find and cut out the faces of a frame, and bring it to the size of the copy."""
    colours = cv2.cvtColor(read.pixels, cv2.COLOR_BGR2RGB)
    framed, boxes = None, []
    if read.due:
        picture = grey_if_grey(colours)
        framed = classifier.frame(picture, faces, SEARCH_SIDE)
        boxes = [box or central_square(picture) for box in framed.boxes]
    shown = cv2.resize(colours, size, interpolation=cv2.INTER_AREA)
    return Looked(read.number, read.seconds, shown, boxes, framed)


def _with_probabilities(
    classifier: EmotionClassifier, frames: Iterable[Looked], batch_size: int
) -> Iterator[tuple[Looked, np.ndarray]]:
    """Each frame with the probabilities of its faces, float [n, K]."""
    for batch in _batches(frames, batch_size):
        faces = [one.framed.faces for one in batch if one.framed is not None]
        probabilities = classifier.probabilities(faces, batch_size)
        ends = np.cumsum([len(one.boxes) for one in batch])
        yield from zip(batch, np.split(probabilities, ends[:-1]), strict=True)


def _batches(frames: Iterable[Looked], batch_size: int) -> Iterator[list[Looked]]:
    batch: list[Looked] = []
    for one in frames:
        batch.append(one)
        if len(batch) >= HELD or sum(len(other.boxes) for other in batch) >= batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _best(track: Track, classes: Sequence[str]) -> str:
    return classes[int(track.smoothed.argmax())]


def _row(one: Looked, track: Track, classes: Sequence[str]) -> list[Any]:
    side = round(track.box.side)
    box = (round(track.box.left), round(track.box.top), side, side)
    values = (track.smoothed.max(), *track.smoothed, *track.raw)
    return [f"{one.seconds:.3f}", one.number, track.face, *box, _best(track, classes), *map(digits, values)]


def _drawn(one: Looked, tracks: Iterable[Track], facts: VideoFacts, classes: Sequence[str]) -> np.ndarray:
    """The frame with a box and a label for each face, uint8 [h, w, 3] (RGB)."""
    picture = Image.fromarray(one.shown)
    draw, letters = ImageDraw.Draw(picture), max(12, max(picture.size) // 45)
    for track in tracks:
        best = _best(track, classes)
        text = f"{track.face}: {best} {track.smoothed.max():.0%}"
        draw_face(draw, track.box, picture.width / facts.width, text, colour(best), letters)
    return np.asarray(picture)
