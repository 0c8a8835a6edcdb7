"""Log lines and progress on the console. Imports nothing heavy: every command loads it before it answers `--help`."""

import logging
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")


class ConsoleHandler(logging.StreamHandler):
    """Writes to what `sys.stdout` is at the time, so that lines appear above a live progress bar."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stdout


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterable[Item]:
    """The items, with a progress bar while they are gone through; where no terminal looks on, without a word."""
    from rich import get_console, progress

    console = get_console()
    if not console.is_terminal:
        return items
    return progress.track(items, description, total=total, transient=True, console=console)
