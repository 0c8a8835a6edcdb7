"""The command that predicts one's own pictures: a table, annotated pictures, a sheet of faces."""

import csv
import logging
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from fer.errors import ConfigError, DataError, RunError
from fer.files import replacing
from fer.prediction.classifier import EmotionClassifier, Prediction
from fer.prediction.framing import Faces, check_faces
from fer.prediction.gallery import Gallery
from fer.prediction.inputs import is_video, list_pictures
from fer.prediction.stream import stream
from fer.prediction.table import HEADER, picture_rows, printable

log = logging.getLogger(__name__)

TABLE, SKIPPED, TIMELINE = "predictions.csv", "skipped.csv", "timeline.csv"
NAMED = 10  # skipped files that are named on the console; skipped.csv has all


@dataclass
class Summary:
    """What came of the pictures."""

    pictures: int = 0  # that could be read
    faces: int = 0
    faceless: int = 0  # pictures
    skipped: list[tuple[str, str]] = field(default_factory=list)  # path, reason
    emotions: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


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
) -> Summary:
    """Predict the pictures or the video that `source` names, and fill `folder`.

    Args:
        checkpoint: a run folder or checkpoint.
        source: see `list_pictures`; or a video file.
        folder: for `predictions.csv` and the pictures; for `timeline.csv` and the annotated video.
        faces: see `EmotionClassifier.predict`.
        batch_size: faces that go through the network at once.
        device: see `EmotionClassifier`.
        precision: see `EmotionClassifier`.
        annotate: whether to draw boxes and labels into copies of the pictures, or into a copy of the video.
        sheets: whether to draw contact sheets.
        frames_per_second: of a video that are looked at; None looks at every one.
        smoothing: seconds over which a video's probabilities are averaged; 0 does not.

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
    if (folder / TABLE).exists() or (folder / TIMELINE).exists():
        raise RunError(f"{folder} holds predictions already; give another output=")
    one = source if isinstance(source, str) else source[0] if len(source) == 1 else ""
    if one and is_video(one):
        from fer.prediction.video import predict_video

        classifier = EmotionClassifier.load(checkpoint, device, precision)
        return predict_video(classifier, one, folder, batch_size, annotate, frames_per_second, smoothing)
    paths = list_pictures(source)
    classifier = EmotionClassifier.load(checkpoint, device, precision)
    if classifier.temperature == 1:
        log.info("no calibration beside %s: probabilities are as trained, often too sure", checkpoint)
    summary = predict_pictures(classifier, paths, folder, faces, batch_size, annotate, sheets)
    print_summary(summary, folder, annotate, sheets)
    return summary


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
        DataError: no picture could be read; or the folder cannot be written.
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
                raise DataError(f"none of the {len(paths):,} pictures can be read; the first, {path}: {reason}")
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error}); free some space or give another output=") from error
    summary.seconds = time.perf_counter() - started
    return summary


def print_summary(summary: Summary, folder: Path, annotate: bool, sheets: bool) -> None:
    """What came of the pictures, then where things are."""
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (("emotion", "left"), ("faces", "right"), ("share", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for emotion, count in summary.emotions.most_common():
        table.add_row(emotion, f"{count:,}", f"{count / summary.faces:.0%}")
    console.print()
    if summary.faces:
        console.print(table)
    speed = summary.pictures / summary.seconds
    console.print(
        f"\n{summary.pictures:,} pictures, {summary.faces:,} faces, {summary.faceless:,} pictures without a face, "
        f"{len(summary.skipped):,} skipped; {speed:,.0f} pictures/s",
        highlight=False,
    )
    places = [("per face", TABLE, True), ("skipped", SKIPPED, bool(summary.skipped))]
    places += [("annotated", "annotated/", annotate), ("faces", "contact_sheet.png", sheets and bool(summary.faces))]
    for what, where, there in places:
        if there:
            console.print(f"{what:<11}{folder / where}", highlight=False, soft_wrap=True)


class Speed(ProgressColumn):
    """Things a second."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} {self.what}/s")


def progress_bar(what: str) -> Progress:
    """How far it is, how fast, how long still."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(what), TimeRemainingColumn())
    return Progress(*columns, transient=True)


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
