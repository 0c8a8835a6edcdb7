"""Jinja2 templates as self-contained pages: one file that loads nothing from elsewhere, and Markdown."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


class Link(NamedTuple):
    """A cell of a table that leads somewhere."""

    text: str
    href: str


def data_uri(path: Path) -> str:
    """The content of a PNG or SVG, to be written into a page."""
    kind = "svg+xml" if path.suffix == ".svg" else path.suffix.removeprefix(".")
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def markdown_text(value: Any) -> Markup:
    """A value in which nothing is Markdown or HTML, on one line: names of files and settings are not markup."""
    if isinstance(value, Markup):  # what a macro of the template wrote
        return value
    return Markup(re.sub(r"([\\`*|]|\](?=[(\[]))", r"\\\1", " ".join(str(value).split())).replace("<", "&lt;"))


HTML = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
HTML.filters["data_uri"] = data_uri
# The one script of a page, which the page allows by its hash and no other
SCRIPT = Path(__file__).with_name("templates").joinpath("page.js").read_text(encoding="utf-8")
HTML.globals["script"] = Markup(SCRIPT)
HTML.globals["script_hash"] = f"sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}"
MARKDOWN = HTML.overlay(finalize=markdown_text)


def render_html(template: str, **values: Any) -> str:
    """Fill a template of `fer/reporting/templates`; values are escaped."""
    return HTML.get_template(template).render(values)


def render_markdown(template: str, **values: Any) -> str:
    """Fill a template of Markdown; values are escaped, and one empty line parts two blocks."""
    return re.sub(r"\n{3,}", "\n\n", MARKDOWN.get_template(template).render(values)).strip() + "\n"
