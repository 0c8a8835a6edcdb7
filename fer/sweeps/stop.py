"""Stopping many runs, whoever started them: a file in their common folder that all who watch a run look at."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from fer.files import replacing

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}  # exit statuses: 128 and the signal's number


class StopFile:
    """`.stop` in the folder of a sweep, or of a run with folds: it reaches other processes and other machines."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".stop"
        self.status = 0  # with which to exit, once this process was asked

    def asked(self) -> str | None:
        """None, `stop` (finish the step and save) or `kill` (at once)."""
        try:
            return self.path.read_text().strip() or "stop"
        except OSError:
            return None

    def ask(self, how: str) -> None:
        with replacing(self.path) as file:
            file.write(how)

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


@contextmanager
def stopped_by_signals(folder: Path) -> Iterator[StopFile]:
    """Make Ctrl-C and SIGTERM a `.stop` file; given again, they end the runs at once.

    No exception is raised, so that launchers of all kinds come back by themselves.
    """
    stop = StopFile(folder)
    stop.clear()

    def on_signal(number: int, frame: FrameType | None) -> None:
        again = stop.status != 0
        stop.status = STATUS[signal.Signals(number)]
        stop.ask("kill" if again else "stop")
        if not again:
            os.write(2, b"stopping: what runs finishes its step and saves; Ctrl-C again ends it at once\n")

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, on_signal) for number in STATUS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.clear()
