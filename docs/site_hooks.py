"""README.md is the first page of the site, and links out of docs/ lead where they do in the repository."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

NOT_IN_SITE = re.compile(r"\[([^]]+)\]\((?:\.\./)?(?:notebooks|conf|tests)/[^)]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    readme = Path(config.config_file_path).with_name("README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=readme.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to the repository's other files are their names alone."""
    return NOT_IN_SITE.sub(r"`\1`", markdown.replace("](../README.md", "](index.md"))
