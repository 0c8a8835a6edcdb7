"""Emotions in a video: a timeline of each face, and a copy with boxes and labels."""

import csv
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from fer.cores import in_order, usable_cores
from fer.data.datasets import dataset
from fer.errors import DataError, PictureError
from fer.faces import detector
from fer.faces.box import FaceBox, central_square
from fer.faces.framing import Faces, FramedFaces
from fer.faces.pictures import grey_if_grey
from fer.files import printable, replacing
from fer.inference.annotate import colour, draw_face
from fer.inference.frames import CONVERT_HELP, Frame, VideoFacts, open_video, read_frames
from fer.inference.inputs import Options
from fer.inference.predictor import EmotionClassifier, FaceOutputs
from fer.inference.results import (
    ANNOTATED_VIDEO,
    BOX_COLUMNS,
    PAGE_FILE,
    TIMELINE_FIGURE,
    TIMELINE_FILE,
    Summary,
    box_cells,
    digits,
    progress_bar,
)
from fer.inference.results_page import MAX_SHOWN, bars, model_facts, results_json, write_video_page
from fer.inference.tracks import Timeline, Track, Tracks, timeline_figure
from fer.inference.video_copy import copy_suffix, video_copy

log = logging.getLogger(__name__)

COLUMNS = ("seconds", "frame", "face", *BOX_COLUMNS, "emotion", "probability", "novelty")  # then two for each class
SMALLEST = 1 / 24  # side of the smallest faces that are searched, of the longer side of frames
SHOWN_SIDE = 1280  # the same of the copy, at most
MAX_THREADS = 4  # that search for faces
MAX_WAITING = 48  # frames that wait for their batch
BOX_SECONDS = 0.35  # for which a box stays in the copy after its face was seen; longer if fewer frames are searched


class SearchedFrame(NamedTuple):
    """A frame after the search for faces."""

    number: int  # from 0
    seconds: float
    shown: np.ndarray  # uint8 [h, w, 3] (RGB), at the size of the copy
    boxes: list[FaceBox]
    framed: FramedFaces | None  # None if this frame was not searched


def predict_video(
    classifier: EmotionClassifier,
    path: str,
    folder: Path,
    options: Options | None = None,
    tell: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
) -> Summary:
    """Write `timeline.csv`, a row for each face in each frame that is searched; its figure; an annotated copy.

    The copy is H.264 or VP8 without sound, which browsers play; its time is that of the original. A camera or a stream
    ends after `options.seconds`, or at Ctrl-C.

    Args:
        classifier: of the faces.
        path: of a video file, number of a camera, or address of a stream.
        folder: of the results.
        options: how to predict.
        tell: is called with the number of frames that are done, and of all (0: unknown).
        stop: ends it as Ctrl-C ends a camera: what was seen until then is written.

    Raises:
        PictureError: no video, or none that can be read.
        DataError: the folder cannot be written.
        ConfigError: an option that cannot work.
    """
    options = options or Options()
    options.check()
    summary, started = Summary("frames"), time.perf_counter()
    capture, facts = open_video(path)
    copy = folder / f"{ANNOTATED_VIDEO}{copy_suffix()}" if options.annotate else None
    try:
        with replacing(folder / TIMELINE_FILE) as table:  # takes its place last: it says that the video is done
            with _until_interrupted() if facts.live else nullcontext(stop) as ended:
                frames = read_frames(capture, facts, options.frames_per_second, options.seconds, ended)
                timeline, tracks = _write_timeline(
                    classifier, frames, facts, folder, table, options, copy, summary, tell
                )
            _draw_timeline(timeline, tracks, facts, folder, classifier, copy, options.page, summary)
    except PictureError:
        with suppress(OSError):
            folder.rmdir()  # where nothing else is in it
        raise
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error}); free some space or give another output=") from error
    finally:
        capture.release()
    length = facts.frames / facts.rate
    stopped = options.seconds is not None or (stop is not None and stop.is_set())
    if not stopped and summary.pictures < 0.95 * facts.frames:
        what = "ends early" if tracks.last_look < 0.95 * length else "is damaged within"
        log.warning("%s %s: %d of %d frames can be read", facts.name, what, summary.pictures, facts.frames)
    summary.faces, summary.seconds = tracks.count, time.perf_counter() - started
    summary.files = [("timeline", folder / TIMELINE_FILE), ("figure", folder / TIMELINE_FIGURE)]
    summary.files += [("page", folder / PAGE_FILE)] if options.page else []
    summary.files += [("annotated", copy)] if copy else []
    return summary


@contextmanager
def _until_interrupted() -> Iterator[threading.Event | None]:
    """An event that the first Ctrl-C sets, so that what was seen is written; the second one is as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def ask(*_: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    log.info("Ctrl-C ends it")
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _write_timeline(
    classifier: EmotionClassifier,
    frames: Iterator[Frame],
    facts: VideoFacts,
    folder: Path,
    file: IO[str],
    options: Options,
    copy: Path | None,
    summary: Summary,
    tell: Callable[[int, int], None] | None,
) -> tuple[Timeline, Tracks]:
    """Write the table and the annotated copy of a video in one pass, and count its frames and emotions."""
    classes, size = classifier.classes, _shown_size(facts)
    every = 1 / min(options.frames_per_second or facts.rate, facts.rate)
    timeline, tracks = Timeline(), Tracks(options.smoothing, every)
    with (
        video_copy(copy, facts, size) if copy else nullcontext() as write,
        results_json(
            folder, {"video": printable(facts.name), **model_facts(classifier), "classes": [*classes]}, "rows"
        ) as items,
        progress_bar("frames") as progress,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*COLUMNS, *classes, *(f"raw_{name}" for name in classes)])
        task = progress.add_task("predicting", total=None if options.seconds else facts.frames or None)
        faces: Faces = "detector" if options.faces == "auto" else options.faces  # a frame is no face crop
        smallest = options.smallest_face or max(SMALLEST * max(facts.width, facts.height), detector.SMALLEST)
        threads = min(MAX_THREADS, usable_cores())
        searched = in_order(frames, partial(_search, classifier, faces, smallest, size), threads)
        for frame, outputs in _with_outputs(classifier, searched, options.batch_size):
            progress.advance(task)
            summary.pictures += 1
            if tell:
                tell(summary.pictures, facts.frames)
            followed = tracks.update(frame.seconds, frame.boxes, *outputs) if frame.framed is not None else []
            for track in followed:
                timeline.add(frame.seconds, track)
                table.writerow(_row(frame, track, classes))
                items.add(_item(frame, track, classes))
                summary.emotions[_best(track, classes)] += 1
                summary.unlike += track.novelty is not None and track.novelty >= 1
            if write:
                shown = tracks.seen(frame.seconds, max(BOX_SECONDS, 1.2 * tracks.every))
                write(frame.seconds, _drawn(frame, shown, facts, classes))
        if not summary.pictures:
            raise PictureError(f"no frame of {facts.name} can be read; {CONVERT_HELP}")
    return timeline, tracks


def _draw_timeline(
    timeline: Timeline,
    tracks: Tracks,
    facts: VideoFacts,
    folder: Path,
    classifier: EmotionClassifier,
    copy: Path | None,
    page: bool,
    summary: Summary,
) -> None:
    """Write the figure of a timeline, and the page."""
    with replacing(folder / TIMELINE_FIGURE, "wb") as image:
        timeline_figure(timeline, classifier.classes, tracks.forgotten).savefig(image, format="png")
    if page:
        counts = {"frames": f"{summary.pictures:,}", "faces": f"{tracks.count:,}"}
        name = facts.name if "://" in facts.name else printable(os.path.basename(facts.name))
        if summary.unlike:
            counts["unlike the training data"] = f"{summary.unlike:,} sightings"
        shown, shares = model_facts(classifier) | {"video": name, **counts}, _shares(timeline, classifier.classes)
        warning = dataset(classifier.trained_on).warning
        write_video_page(folder, shown, folder / TIMELINE_FIGURE, shares, copy, warning)


def _shown_size(facts: VideoFacts) -> tuple[int, int]:
    """Width and height of the copy: at most SHOWN_SIDE, and even, as codecs want them."""
    shrink = max(1.0, max(facts.width, facts.height) / SHOWN_SIDE)
    return max(2, round(facts.width / shrink / 2) * 2), max(2, round(facts.height / shrink / 2) * 2)


def _search(
    classifier: EmotionClassifier, faces: Faces, smallest: float, size: tuple[int, int], read: Frame
) -> SearchedFrame:
    """Find and cut out the faces of a frame, and bring it to the size of the copy."""
    colours = cv2.cvtColor(read.pixels, cv2.COLOR_BGR2RGB)
    framed, boxes = None, []
    if read.due:
        picture = grey_if_grey(colours)
        framed = classifier.frame(picture, faces, smallest)
        boxes = [box or central_square(picture) for box in framed.boxes]
    shown = cv2.resize(colours, size, interpolation=cv2.INTER_AREA)
    return SearchedFrame(read.number, read.seconds, shown, boxes, framed)


def _with_outputs(
    classifier: EmotionClassifier, frames: Iterable[SearchedFrame], batch_size: int
) -> Iterator[tuple[SearchedFrame, FaceOutputs]]:
    """Each frame with the outputs for its faces."""
    for batch in _batches(frames, batch_size):
        faces = [frame.framed.faces for frame in batch if frame.framed is not None]
        outputs = classifier.outputs(faces, batch_size)
        ends = np.cumsum([len(frame.boxes) for frame in batch])[:-1]
        scores = [None] * len(batch) if outputs.novelty is None else np.split(outputs.novelty, ends)
        parts = map(FaceOutputs, np.split(outputs.probabilities, ends), scores)
        yield from zip(batch, parts, strict=True)


def _batches(frames: Iterable[SearchedFrame], batch_size: int) -> Iterator[list[SearchedFrame]]:
    batch: list[SearchedFrame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) >= MAX_WAITING or sum(len(one.boxes) for one in batch) >= batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _best(track: Track, classes: Sequence[str]) -> str:
    return classes[int(track.smoothed.argmax())]


def _row(frame: SearchedFrame, track: Track, classes: Sequence[str]) -> list[Any]:
    best, *values = map(digits, (track.smoothed.max(), *track.smoothed, *track.raw))
    novelty = "" if track.novelty is None else f"{track.novelty:.3f}"
    cells = [f"{frame.seconds:.3f}", frame.number, track.face, *box_cells(track.box), _best(track, classes), best]
    return [*cells, novelty, *values]


def _item(frame: SearchedFrame, track: Track, classes: Sequence[str]) -> dict[str, Any]:
    """What `results.json` holds of a face in a frame: as `_row`, with the score of the detector."""
    box, smoothed = track.box, track.smoothed.round(6).tolist()
    return {
        "seconds": round(frame.seconds, 3),
        "face": track.face,
        "emotion": _best(track, classes),
        "probabilities": dict(zip(classes, smoothed, strict=True)),
        "box": [round(value, 1) for value in (box.left, box.top, box.side, box.side)],
        "face_score": round(box.score, 3),
        "novelty": None if track.novelty is None else round(track.novelty, 3),
    }


def _shares(timeline: Timeline, classes: Sequence[str]) -> list[dict[str, Any]]:
    """For each face, how often each emotion was the most probable one: what the page shows."""
    found = []
    for number, counts in sorted(timeline.counts.items(), key=lambda item: -item[1].sum())[:MAX_SHOWN]:
        shares = dict(zip(classes, (counts / counts.sum()).tolist(), strict=True))
        found.append({"label": f"face {number}, in {counts.sum():,} frames", "bars": bars(shares)})
    return found


def _drawn(frame: SearchedFrame, tracks: Iterable[Track], facts: VideoFacts, classes: Sequence[str]) -> np.ndarray:
    """The frame with a box and a label for each face, uint8 [h, w, 3] (RGB)."""
    picture = Image.fromarray(frame.shown)
    draw, letters = ImageDraw.Draw(picture), max(12, max(picture.size) // 45)
    for track in tracks:
        best = _best(track, classes)
        text = f"{track.face}: {best} {track.smoothed.max():.0%}"
        draw_face(draw, track.box, picture.width / facts.width, text, colour(best), letters)
    return np.asarray(picture)
