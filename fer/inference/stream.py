"""Any number of picture files through the network: decoded in threads, predicted in batches, in constant memory."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from fer.cores import in_order, usable_cores
from fer.errors import PictureError
from fer.faces.detector import SMALLEST
from fer.faces.framing import Faces, FramedFaces
from fer.faces.pictures import read_picture
from fer.inference.predictor import EmotionClassifier, Prediction

MAX_WAITING_BYTES = 128 << 20  # of pictures that wait for their batch to fill
PREVIEW_SIDES = (320, 1600)  # smallest and largest longer side of previews, pixels


@dataclass(frozen=True)
class Preview:
    """A picture at the size in which it is annotated."""

    pixels: np.ndarray  # uint8 [h, w] or [h, w, 3]
    scale: float  # side of the preview / side of the picture


@dataclass(frozen=True)
class PictureResult:
    """One picture file and the predictions of its faces."""

    path: str
    framed: FramedFaces | None = None  # None if the picture cannot be read
    preview: Preview | None = None
    predictions: list[Prediction] = field(default_factory=list)
    error: str = ""  # why it cannot be read

    @property
    def n_faces(self) -> int:
        return 0 if self.framed is None else len(self.framed.boxes)

    @property
    def nbytes(self) -> int:
        faces = 0 if self.framed is None else self.framed.faces.nbytes
        return faces + (0 if self.preview is None else self.preview.pixels.nbytes)


def stream(
    classifier: EmotionClassifier,
    paths: Iterable[str],
    faces: Faces = "auto",
    smallest: float = SMALLEST,
    batch_size: int = 64,
    previews: bool = False,
    workers: int | None = None,
) -> Generator[PictureResult]:
    """Predict picture files in their order; a file that cannot be read comes with its error.

    Args:
        classifier: of the faces.
        paths: of the pictures.
        faces: see `EmotionClassifier.predict`.
        smallest: side of the smallest faces to search, pixels.
        batch_size: faces that go through the network at once.
        previews: whether to keep a small copy of each picture.
        workers: threads that decode and find faces; None takes one per core that this process may use.
    """

    def read(path: str) -> PictureResult:
        try:
            picture = read_picture(path)
        except PictureError as error:
            return PictureResult(path, error=str(error))
        return PictureResult(
            path, classifier.frame(picture, faces, smallest), make_preview(picture) if previews else None
        )

    waiting: list[PictureResult] = []
    with closing(in_order(paths, read, workers or usable_cores())) as results:
        for result in results:
            waiting.append(result)
            full = max(len(waiting), sum(one.n_faces for one in waiting)) >= batch_size
            if full or sum(one.nbytes for one in waiting) >= MAX_WAITING_BYTES:
                yield from _predicted(classifier, waiting, batch_size)
                waiting = []
    yield from _predicted(classifier, waiting, batch_size)


def make_preview(picture: np.ndarray) -> Preview:
    """A picture, uint8 [H, W] or [H, W, 3], resized if its longer side is not within PREVIEW_SIDES."""
    longer = max(picture.shape[:2])
    scale = float(np.clip(longer, *PREVIEW_SIDES)) / longer
    if scale == 1:
        return Preview(picture, 1.0)
    size = tuple(max(1, round(side * scale)) for side in picture.shape[1::-1])
    how = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    return Preview(np.asarray(Image.fromarray(picture).resize(size, how, reducing_gap=2.0)), scale)


def _predicted(classifier: EmotionClassifier, results: list[PictureResult], batch_size: int) -> Iterator[PictureResult]:
    framed = [result.framed for result in results if result.framed is not None]
    predictions = iter(classifier.named(framed, classifier.outputs([part.faces for part in framed], batch_size)))
    for result in results:
        yield result if result.framed is None else replace(result, predictions=next(predictions))
