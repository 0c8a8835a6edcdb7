"""What came of a prediction, and how far it is meanwhile."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text


@dataclass
class Summary:
    """What came of the pictures, or of the frames of a video."""

    what: str = "pictures"  # or frames of a video
    pictures: int = 0  # that could be read
    faces: int = 0
    faceless: int = 0  # pictures
    skipped: list[tuple[str, str]] = field(default_factory=list)  # path, reason
    emotions: Counter[str] = field(default_factory=Counter)  # of faces; in a video, of each sighting of one
    seconds: float = 0.0
    files: list[tuple[str, Path]] = field(default_factory=list)  # what was written: what it is, where


def print_summary(summary: Summary, console: Console | None = None) -> None:
    """How often each emotion came, how much was done, where things are."""
    console = console or Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("emotion")
    table.add_column("times", justify="right")
    table.add_column("share", justify="right")
    total = summary.emotions.total()
    for emotion, count in summary.emotions.most_common():
        table.add_row(Text(emotion), f"{count:,}", f"{count / total:.0%}")
    console.print()
    if total:
        console.print(table)
    parts = [f"{summary.pictures:,} {summary.what}", f"{summary.faces:,} face{'s' * (summary.faces != 1)}"]
    parts += [f"{summary.faceless:,} {summary.what} without a face"] if summary.faceless else []
    parts += [f"{len(summary.skipped):,} skipped"] if summary.skipped else []
    speed = summary.pictures / max(summary.seconds, 1e-9)
    console.print(f"\n{', '.join(parts)}; {speed:,.3g} {summary.what}/s", highlight=False, markup=False)
    for what, path in summary.files:
        console.print(f"{what:<11}{path}", highlight=False, markup=False, soft_wrap=True)


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
