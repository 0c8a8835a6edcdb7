"""One text, two forms: Markdown beside its figures, and a page that holds everything."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fer.reporting.figure_table import FigureRow
from fer.reporting.render import render_html, render_markdown


@dataclass(frozen=True)
class Heading:
    kind: ClassVar[str] = "heading"
    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    kind: ClassVar[str] = "text"
    text: str
    aside: bool = False  # a remark, in small print


@dataclass(frozen=True)
class Items:
    kind: ClassVar[str] = "items"
    texts: Sequence[tuple[str, bool]]  # with whether to emphasise it


@dataclass(frozen=True)
class Table:
    kind: ClassVar[str] = "table"
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1  # columns from the left that hold words
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    path: Path
    row: FigureRow
    alt: str


@dataclass(frozen=True)
class Pictures:
    """Side by side where there is room."""

    kind: ClassVar[str] = "pictures"
    pictures: Sequence[Picture]


Block = Heading | Text | Items | Table | Pictures


def to_markdown(blocks: Sequence[Block], folder: Path) -> str:
    """GitHub's Markdown; pictures by their path below `folder`."""
    return render_markdown("comparison.md.j2", blocks=blocks, folder=folder)


def to_html(blocks: Sequence[Block], title: str) -> str:
    """A page that needs no other file."""
    return render_html("comparison.html.j2", blocks=blocks, title=title)
