"""Any number of picture files through the network: decoded in threads, predicted in batches, in flat memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import numpy as np

from fer.errors import PictureError
from fer.faces.framing import Faces, FramedFaces
from fer.faces.pictures import read_picture
from fer.inference.annotate import Preview, preview
from fer.inference.predictor import EmotionClassifier, Prediction

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 4  # pictures of each thread that are decoded before they are asked for
HELD = 128 << 20  # bytes of pictures that may wait for their batch to fill


@dataclass(frozen=True)
class Seen:
    """One picture file and what was seen in it."""

    path: str
    framed: FramedFaces | None = None  # None where the picture cannot be read
    preview: Preview | None = None
    predictions: list[Prediction] = field(default_factory=list)
    error: str = ""  # why it cannot be read


def stream(
    classifier: EmotionClassifier,
    paths: Iterable[str],
    faces: Faces = "auto",
    batch_size: int = 64,
    previews: bool = False,
    workers: int | None = None,
) -> Iterator[Seen]:
    """Predict picture files in their order; unreadable ones come with their error.

    Args:
        classifier: of the faces.
        paths: of the pictures.
        faces: see `EmotionClassifier.predict`.
        batch_size: faces that go through the network at once.
        previews: whether to keep a small copy of each picture.
        workers: threads that decode and look for faces; None takes one for each core.
    """

    def look(path: str) -> Seen:
        try:
            picture = read_picture(path)
        except PictureError as error:
            return Seen(path, error=str(error))
        return Seen(path, classifier.frame(picture, faces), preview(picture) if previews else None)

    waiting: list[Seen] = []
    for seen in in_order(paths, look, workers or os.cpu_count() or 1):
        waiting.append(seen)
        full = len(waiting) >= batch_size or sum(map(_faces, waiting)) >= batch_size
        if full or sum(map(_bytes, waiting)) >= HELD:
            yield from _predicted(classifier, waiting, batch_size)
            waiting = []
    yield from _predicted(classifier, waiting, batch_size)


def in_order(items: Iterable[T], work: Callable[[T], R], workers: int) -> Iterator[R]:
    """`work` on each item, in threads a bounded way ahead; the results in the order of the items."""
    source = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
    try:
        ahead: deque[Future[R]] = deque(pool.submit(work, item) for item in islice(source, AHEAD * workers))
        while ahead:
            result = ahead.popleft().result()
            ahead.extend(pool.submit(work, item) for item in islice(source, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _predicted(classifier: EmotionClassifier, seen: list[Seen], batch_size: int) -> Iterator[Seen]:
    framed = [one.framed for one in seen if one.framed is not None]
    probabilities = classifier.probabilities([part.faces for part in framed], batch_size)
    predictions = iter(classifier.named(framed, probabilities))
    for one in seen:
        found = [] if one.framed is None else next(predictions)
        yield Seen(one.path, one.framed, one.preview, found, one.error)


def _faces(seen: Seen) -> int:
    return 0 if seen.framed is None else len(seen.framed.boxes)


def _bytes(seen: Seen) -> int:
    arrays: list[np.ndarray] = [] if seen.framed is None else [seen.framed.faces]
    return sum(array.nbytes for array in arrays) + (0 if seen.preview is None else seen.preview.pixels.nbytes)
