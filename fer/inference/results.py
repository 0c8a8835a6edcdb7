"""What a prediction writes and prints: names of its files, rows of its table, progress, and the summary."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import get_console
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from fer.faces.box import FaceBox
from fer.files import printable
from fer.inference.predictor import Prediction

# Pictures; a predictions.csv of faces has other columns than that of a run.
FACES_FILE, SKIPPED_FILE, ANNOTATED_FOLDER = "predictions.csv", "skipped.csv", "annotated"
SHEET_FILES = ("contact_sheet.png", "contact_sheet_{}.png")  # the first, and those from the second on
TIMELINE_FILE, TIMELINE_FIGURE, ANNOTATED_VIDEO = "timeline.csv", "timeline.png", "annotated"  # a video; with a suffix

PAGE_FILE, RESULTS_FILE = "results.html", "results.json"  # for a person, and for programs

BOX_COLUMNS = ("x", "y", "width", "height")  # pixels; empty if the whole picture is the face
FACE_COLUMNS = ("picture", "face", *BOX_COLUMNS, "face_score", "emotion", "probability", "novelty")  # then the classes
NO_FACE = "no face"


@dataclass
class Summary:
    """Counts of the pictures, or of the frames of a video, and the files written."""

    what: str = "pictures"  # or frames
    pictures: int = 0  # that could be read
    faces: int = 0
    faceless: int = 0  # pictures
    skipped: list[tuple[str, str]] = field(default_factory=list)  # path, reason
    unlike: int = 0  # faces that are unlike the training data
    emotions: Counter[str] = field(default_factory=Counter)  # of faces; in a video, of each face in each frame
    seconds: float = 0.0
    files: list[tuple[str, Path]] = field(default_factory=list)  # what each is, and where

    def add(self, predictions: Sequence[Prediction]) -> None:
        """Count a picture."""
        self.pictures += 1
        self.faces += len(predictions)
        self.faceless += not predictions
        self.unlike += sum(prediction.is_unlike_training for prediction in predictions)
        self.emotions.update(prediction.emotion for prediction in predictions)


def picture_rows(path: str, predictions: Sequence[Prediction], classes: Sequence[str]) -> list[list[Any]]:
    """A row for each face of a picture, or one that says there is none."""
    name = printable(path)
    if not predictions:
        return [[name, "", *box_cells(None), "", NO_FACE, "", "", *("" for _ in classes)]]
    return [
        [name, number, *box_cells(face.box), _score(face.box), face.emotion, digits(face.probability)]
        + ["" if face.novelty is None else f"{face.novelty:.3f}"]
        + [digits(face.probabilities[emotion]) for emotion in classes]
        for number, face in enumerate(predictions, 1)
    ]


def box_cells(box: FaceBox | None) -> list[Any]:
    """x, y, width, height in pixels; empty if the whole picture is the face."""
    return ["", "", "", ""] if box is None else [round(box.left), round(box.top), round(box.side), round(box.side)]


def _score(box: FaceBox | None) -> str:
    """How much the detector takes the box for a face; empty where it was not asked."""
    return "" if box is None else f"{box.score:.3f}"


def digits(value: float) -> str:
    return f"{value:.6g}"


def print_summary(summary: Summary, console: Console | None = None) -> None:
    """Print how often each emotion was predicted, how much was done, and where the files are."""
    console = console or Console()
    table = Table("emotion", box=None, pad_edge=False, header_style="bold")
    for heading in ("times", "share"):
        table.add_column(heading, justify="right")
    total = summary.emotions.total()
    for emotion, count in summary.emotions.most_common():
        table.add_row(Text(emotion), f"{count:,}", f"{count / total:.0%}")
    console.print()
    if total:
        console.print(table)
    what = summary.what.removesuffix("s" if summary.pictures == 1 else "")
    parts = [f"{summary.pictures:,} {what}", f"{summary.faces:,} face{'s' * (summary.faces != 1)}"]
    parts += [f"{summary.faceless:,} {summary.what} without a face"] if summary.faceless else []
    parts += [f"{summary.unlike:,} unlike the training data"] if summary.unlike else []
    parts += [f"{len(summary.skipped):,} skipped"] if summary.skipped else []
    speed = summary.pictures / max(summary.seconds, 1e-9)
    console.print(f"\n{', '.join(parts)}; {speed:,.3g} {summary.what}/s", highlight=False, markup=False)
    for what, path in summary.files:
        console.print(f"{what:<11}{path}", highlight=False, markup=False, soft_wrap=True)


class Speed(ProgressColumn):
    """Pictures or frames per second."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} {self.what}/s")


def progress_bar(what: str) -> Progress:
    """Progress, speed and remaining time; nothing where no terminal looks on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(what), TimeRemainingColumn())
    return Progress(*columns, transient=True, disable=not get_console().is_terminal)
