"""One text, two forms: Markdown beside its figures, and a page that holds everything."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from fer.reporting import page


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    text: str
    aside: bool = False  # a remark, set back


@dataclass(frozen=True)
class Items:
    texts: Sequence[str]
    strong: Sequence[bool] = field(default_factory=list)  # which of them are set off


@dataclass(frozen=True)
class Table:
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1  # columns from the left that hold words
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    path: Path
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Gallery:
    """Side by side where there is room."""

    pictures: Sequence[Picture]


Block = Heading | Text | Items | Table | Gallery


def to_markdown(blocks: Sequence[Block], folder: Path) -> str:
    """GitHub's Markdown; pictures by their path below `folder`."""
    return "\n\n".join(_markdown(block, folder) for block in blocks) + "\n"


def _markdown(block: Block, folder: Path) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {_plain(block.text)}"
    if isinstance(block, Text):
        return _plain(block.text)
    if isinstance(block, Items):
        strong = block.strong or [False] * len(block.texts)
        marked = zip(block.texts, strong, strict=True)
        return "\n".join(f"- **{_plain(text)}**" if set_off else f"- {_plain(text)}" for text, set_off in marked)
    if isinstance(block, Gallery):
        return "\n\n".join(
            f"![{_plain(picture.alt)}]({picture.path.relative_to(folder).as_posix()})\n\n{_plain(picture.caption)}"
            for picture in block.pictures
        )
    rule = [" --- " if column < block.words else " ---: " for column in range(len(block.headings))]
    lines = ["|".join(["", *(f" {_plain(cell)} " for cell in row), ""]) for row in [block.headings, *block.rows]]
    lines.insert(1, "|".join(["", *rule, ""]))
    return (f"{_plain(block.caption)}\n\n" if block.caption else "") + "\n".join(lines)


def _plain(text: str) -> str:
    """Names of files and settings must not become markup."""
    return re.sub(r"([\\`*|]|\](?=[(\[]))", r"\\\1", " ".join(text.split())).replace("<", "&lt;")


def to_html(blocks: Sequence[Block], title: str) -> str:
    """A page that needs no other file."""
    return page.page(title, "\n".join(_html(block) for block in blocks))


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
    if isinstance(block, Text):
        return f"<p{' class=soft' if block.aside else ''}>{escape(block.text)}</p>"
    if isinstance(block, Items):
        strong = block.strong or [False] * len(block.texts)
        marked = zip(block.texts, strong, strict=True)
        items = (f"<li{' class=good' if set_off else ''}>{escape(text)}</li>" for text, set_off in marked)
        return f"<ul>{''.join(items)}</ul>"
    if isinstance(block, Gallery):
        pictures = (page.picture(picture.path, picture.alt, picture.caption) for picture in block.pictures)
        return f'<div class="grid">{"".join(pictures)}</div>'
    return page.table(block.headings, block.rows, block.words, block.caption)
