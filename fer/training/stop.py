"""Asking a run to stop: SIGTERM and the first Ctrl-C let the step at hand end, so that nothing is lost."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED, INTERRUPTED = 143, 130  # exit statuses: 128 and the signal's number

log = logging.getLogger(__name__)


class Stop:
    """Who asked for the stop, as the exit status that tells it."""

    status = TERMINATED


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Make the first Ctrl-C what SIGTERM is to Lightning: a stop after the step at hand; a second one stops at once.

    Lightning's own way with Ctrl-C breaks off within a step, of which nothing that can go on exactly is left.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        waiting = signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN, None)
        if stop.status == INTERRUPTED or not waiting:
            stop.status = INTERRUPTED
            raise KeyboardInterrupt
        stop.status = INTERRUPTED
        log.warning("stopping after this step; Ctrl-C again stops at once, without saving")
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
