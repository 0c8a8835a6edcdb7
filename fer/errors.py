"""Errors that a user can fix: one line that says what was wrong and what to do next."""

import os
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


@contextmanager
def exit_in_one_line() -> Iterator[None]:
    """Turn an expected error into its line and exit status 1; HYDRA_FULL_ERROR=1 keeps the traceback.

    Raises:
        SystemExit: with the line, which Python prints.
    """
    try:
        yield
    except FERError as error:
        if shows_tracebacks():
            raise
        raise SystemExit(f"error: {' '.join(str(error).split())}") from None
