"""Errors that a user can mend: one line that says what was wrong and what to do next."""


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
    """A run folder in use, unfinished or finished already."""


class DivergenceError(FERError):
    """Training whose loss is no number any more."""


class ExportError(FERError):
    """A model that cannot be exported, or not faithfully."""
