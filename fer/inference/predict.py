"""The command that predicts one's own pictures and videos: tables, annotated copies, a sheet of faces."""

import csv
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from fer.errors import ConfigError, DataError, PictureError, RunError
from fer.faces.framing import Faces, check_faces
from fer.files import printable, replacing
from fer.inference.gallery import Gallery, numbered
from fer.inference.inputs import list_inputs
from fer.inference.predictor import EmotionClassifier, Prediction
from fer.inference.stream import stream
from fer.inference.summary import Summary, print_summary, progress_bar
from fer.inference.table import HEADER, picture_rows
from fer.inference.video import TIMELINE, predict_video

log = logging.getLogger(__name__)

TABLE, SKIPPED = "predictions.csv", "skipped.csv"
Job = tuple[str, Callable[[], Summary]]  # what it is about, and the work
NAMED = 10  # skipped files that are named on the console; skipped.csv has all


def predict(
    checkpoint: str | Path | None,
    source: str | Sequence[str] | None,
    folder: Path,
    *,
    faces: Faces = "auto",
    batch_size: int = 64,
    device: str = "auto",
    precision: str = "32-true",
    annotate: bool = True,
    sheets: bool = True,
    frames_per_second: float | None = 10.0,
    smoothing: float = 0.5,
) -> list[Summary]:
    """Predict the pictures and videos that `source` names, and fill `folder`.

    Args:
        checkpoint: a run folder or checkpoint.
        source: see `list_inputs`.
        folder: for `predictions.csv` and the pictures; for `timeline.csv` and the annotated video. A video that is
            not alone has a folder within it.
        faces: see `EmotionClassifier.predict`.
        batch_size: faces that go through the network at once.
        device: see `EmotionClassifier`.
        precision: see `EmotionClassifier`.
        annotate: whether to draw boxes and labels into copies of the pictures, or into a copy of the video.
        sheets: whether to draw contact sheets.
        frames_per_second: of a video that are looked at; None looks at every one.
        smoothing: seconds over which a video's probabilities are averaged; 0 does not.

    Returns:
        One for all pictures, then one for each video that could be read.

    Raises:
        FERError: nothing to predict, nothing could be read, an output folder that is taken, a bad option.
    """
    if not checkpoint:
        raise ConfigError("give checkpoint=PATH: a run folder (outputs/DATE/TIME) or a .ckpt file")
    if not source:
        raise ConfigError("give input=PATH: a picture, a folder, a pattern as 'photos/*.jpg', a list file or a video")
    check_faces(faces)
    if batch_size < 1:
        raise ConfigError(f"batch_size={batch_size}: give 1 or more")
    inputs = list_inputs(source)
    alone = len(inputs.videos) == 1 and not inputs.pictures
    homes = [folder if alone else folder / numbered(n, path) for n, path in enumerate(inputs.videos, 1)]
    if any(path.exists() for path in (folder / TABLE, *(home / TIMELINE for home in (folder, *homes)))):
        raise RunError(f"{folder} holds predictions already; give another output=")
    classifier = _load(checkpoint, device, precision)
    jobs: list[Job] = [
        (
            path,
            partial(predict_video, classifier, path, home, faces, batch_size, annotate, frames_per_second, smoothing),
        )
        for path, home in zip(inputs.videos, homes, strict=True)
    ]
    if inputs.pictures:
        pictures = partial(predict_pictures, classifier, inputs.pictures, folder, faces, batch_size, annotate, sheets)
        jobs.insert(0, ("pictures", pictures))
    return _one_by_one(jobs)


def _one_by_one(jobs: Sequence[Job]) -> list[Summary]:
    """Do each job and print what came of it; a job of which nothing can be read does not keep the others from theirs.

    Raises:
        PictureError: nothing can be read of any.
    """
    summaries, errors = [], []
    for what, job in jobs:
        if len(jobs) > 1:
            log.info("%s:", printable(what))
        try:
            summaries.append(job())
        except PictureError as error:
            errors.append(error)
            if len(jobs) > 1:
                log.warning("skipped: %s", error)
        else:
            print_summary(summaries[-1])
    if errors and not summaries:
        raise errors[0]
    if errors:
        log.warning("%d of %d inputs could not be read", len(errors), len(jobs))
    return summaries


def predict_pictures(
    classifier: EmotionClassifier,
    paths: Sequence[str],
    folder: Path,
    faces: Faces = "auto",
    batch_size: int = 64,
    annotate: bool = True,
    sheets: bool = True,
) -> Summary:
    """Write `predictions.csv`, a row per face and one for each picture without; and the pictures.

    Raises:
        PictureError: no picture could be read.
        DataError: the folder cannot be written.
    """
    summary, started = Summary(), time.perf_counter()
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # they are refused, at a limit of ours
    try:
        with (
            replacing(folder / TABLE) as file,
            Gallery(folder, annotate, sheets) as gallery,
            progress_bar("pictures") as progress,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow([*HEADER, *classifier.classes])
            task = progress.add_task("predicting", total=len(paths))
            for number, seen in enumerate(stream(classifier, paths, faces, batch_size, previews=annotate), 1):
                progress.advance(task)
                if seen.error:
                    _skip(summary, printable(seen.path), seen.error)
                    continue
                table.writerows(picture_rows(seen.path, seen.predictions, classifier.classes))
                gallery.add(number, seen)
                _count(summary, seen.predictions)
            if summary.skipped:
                _write_skipped(folder / SKIPPED, summary.skipped)
            if not summary.pictures:
                path, reason = summary.skipped[0]
                raise PictureError(f"none of the {len(paths):,} pictures can be read; the first, {path!r}: {reason}")
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error}); free some space or give another output=") from error
    summary.seconds = time.perf_counter() - started
    summary.files.append(("per face", folder / TABLE))
    summary.files += [("skipped", folder / SKIPPED)] if summary.skipped else []
    summary.files += [("annotated", folder / "annotated")] if annotate else []
    summary.files += [("faces", folder / "contact_sheet.png")] if sheets and summary.faces else []
    return summary


def _load(checkpoint: str | Path, device: str, precision: str) -> EmotionClassifier:
    classifier = EmotionClassifier.load(checkpoint, device, precision)
    if classifier.temperature == 1:
        log.info("no calibration beside %s: probabilities are as trained, often too sure", checkpoint)
    return classifier


def _count(summary: Summary, predictions: list[Prediction]) -> None:
    summary.pictures += 1
    summary.faces += len(predictions)
    summary.faceless += not predictions
    summary.emotions.update(prediction.emotion for prediction in predictions)


def _skip(summary: Summary, path: str, reason: str) -> None:
    summary.skipped.append((path, reason))
    if len(summary.skipped) <= NAMED:
        log.warning("skipped %r: %s", path, reason)


def _write_skipped(path: Path, skipped: list[tuple[str, str]]) -> None:
    with replacing(path) as file:
        csv.writer(file, lineterminator="\n").writerows([("picture", "reason"), *skipped])
