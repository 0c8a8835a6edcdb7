"""The run folder: one writer, and finished where `metrics.json` stands."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer.errors import RunError

log = logging.getLogger(__name__)

METRICS = "metrics.json"
CONFIG = "config.yaml"
TAKEN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)  # what a lock that another holds is told by


def best_checkpoint(folder: Path) -> Path:
    return folder / "checkpoints" / "best.ckpt"


def last_checkpoint(folder: Path) -> Path:
    return folder / "checkpoints" / "last.ckpt"


def is_finished(folder: Path) -> bool:
    return (folder / METRICS).exists()


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold a run folder; the lock goes with the process, however it ends.

    Raises:
        RunError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as lock:
        if not _take(lock.fileno()):
            raise RunError(f"{folder} is being written by another run; wait for it, or give another hydra.run.dir")
        yield


def _take(descriptor: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        log.warning("this file system has no locks (%s): see to it that only one run writes here", error.strerror)
    return True
