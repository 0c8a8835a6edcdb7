"""Log lines on the console. Imports nothing heavy: every command loads it before it answers `--help`."""

import logging
import sys
from typing import Any


class ConsoleHandler(logging.StreamHandler):
    """Writes to what `sys.stdout` is at the time, so that lines appear above a live progress bar."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stdout
