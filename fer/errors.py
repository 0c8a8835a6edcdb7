"""Errors that a user can fix: one line that says what was wrong and what to do next."""

import errno
import os
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


class FERError(Exception):
    """Base of all expected errors; the commands print its line and exit with status 1."""


class ConfigError(FERError):
    """An option that cannot work."""


class DataError(FERError):
    """Data that is missing, malformed or unfit for what was asked."""


class PictureError(DataError):
    """A picture or video that cannot be decoded; among many it is named, skipped and counted."""


class WeightsError(FERError):
    """Pretrained weights that cannot be had or do not fit."""


class CheckpointError(FERError):
    """A checkpoint that is foreign, damaged or of another format."""


class RunError(FERError):
    """A run folder in use, damaged, unfinished or finished already."""


class DivergenceError(FERError):
    """Training whose loss is no number any more."""


class ExportError(FERError):
    """A model that cannot be exported, or not faithfully."""


def shows_tracebacks() -> bool:
    """Whether whoever runs a command wants the traceback of each error: HYDRA_FULL_ERROR=1, Hydra's own switch."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_WRITABLE = (*FULL, errno.EROFS)
UNUSABLE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
IN_THE_WAY = errno.EEXIST  # a file where a folder goes


def disk_error(error: BaseException | None) -> str | None:
    """What a disk refused, in one line, and what to do; None for any other error.

    Args:
        error: what was raised, perhaps because of the disk's error.
    """
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    if error is None:
        return None
    if error.errno == errno.ENOENT and "temporary directory" in str(error.strerror):
        return "no folder for temporary files can be written; name one that can in the environment variable TMPDIR"
    if error.errno not in (*NOT_WRITABLE, *UNUSABLE, IN_THE_WAY) and not _is_of_new_folder(error):
        return None
    place = os.fsdecode(error.filename or "") or f"a file (temporary ones are in {tempfile.gettempdir()})"
    what = "written" if error.errno in NOT_WRITABLE else "used"
    space = "free some space, or " if error.errno in FULL else ""
    return (
        f"{place} cannot be {what} ({error.strerror}); {space}give another hydra.run.dir (output= for predictions and "
        "exports, data.root= for packs)"
    )


def _is_of_new_folder(error: OSError) -> bool:
    """Whether a folder could not be made though the one above it is there, as under /proc."""
    calls = traceback.extract_tb(error.__traceback__)
    return error.errno == errno.ENOENT and bool(calls) and calls[-1].name in ("mkdir", "makedirs")


def memory_error(error: BaseException) -> str | None:
    """That memory ran out, of the machine or a GPU, in one line, and what to do; None for any other error."""
    said = " ".join(str(error).split())
    words = ("DefaultCPUAllocator: ", "out of memory", "Unable to allocate ")  # of torch, CUDA, numpy
    if not isinstance(error, MemoryError) and not (isinstance(error, RuntimeError) and any(w in said for w in words)):
        return None
    return f"not enough memory ({said[:160]}); give a smaller data.batch_size, data.image_size or model"


@contextmanager
def exit_in_one_line() -> Iterator[None]:
    """Turn an expected error, or what a full or read-only disk refuses, into its line and exit status 1.

    HYDRA_FULL_ERROR=1 keeps the traceback.

    Raises:
        SystemExit: with the line, which Python prints.
    """
    threading.excepthook, before = _without_writers, threading.excepthook
    try:
        yield
    except Exception as error:
        line = str(error) if isinstance(error, FERError) else disk_error(error) or memory_error(error)
        if line is None or shows_tracebacks():
            raise
        raise SystemExit(f"error: {' '.join(line.split())}") from None
    finally:
        threading.excepthook = before


def _without_writers(said: threading.ExceptHookArgs) -> None:
    """Print the traceback of a thread, but not of TensorBoard's writer, which raises its error again where it is used.

    That one would be printed above the line of `exit_in_one_line`.
    """
    of_tensorboard = type(said.thread).__module__.startswith("tensorboard.")
    if shows_tracebacks() or not of_tensorboard or disk_error(said.exc_value) is None:
        threading.__excepthook__(said)
