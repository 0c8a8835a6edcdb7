"""Values that change in the course of a run, as start -> value: a start is an epoch, or a fraction of the run."""

from collections.abc import Mapping
from typing import TypeVar

from fer.errors import ConfigError

Value = TypeVar("Value")


def is_start(start: object) -> bool:
    """An epoch (a whole number), or a fraction of the run between 0 and 1."""
    return (type(start) is int and start >= 0) or (isinstance(start, float) and 0 < start < 1)


def check_starts(key: str, starts: Mapping[int | float, object]) -> None:
    """Refuse what is no course of a run.

    Raises:
        ConfigError: no entry for epoch 0, or another key that is no start.
    """
    if 0 not in starts:
        raise ConfigError(f"{key}={dict(starts)}: say what holds from epoch 0 on")
    if not all(is_start(start) for start in starts):
        raise ConfigError(
            f"{key}={dict(starts)}: starts are epochs (whole numbers) or fractions of the run between 0 and 1, "
            "such as 0, 3 or 0.5"
        )


def value_at(starts: Mapping[int | float, Value], epoch: int, epochs: int) -> Value:
    """The value that holds in an epoch.

    Args:
        starts: start -> value, with an entry for epoch 0.
        epoch: from 0.
        epochs: of the whole run, for starts that are fractions of it.
    """
    by_epoch = {_epoch_of(start, epochs): value for start, value in sorted(starts.items(), key=lambda entry: entry[0])}
    return by_epoch[max(start for start in by_epoch if start <= epoch)]


def _epoch_of(start: int | float, epochs: int) -> int:
    """A start as an epoch; a fraction is never the first one, for epoch 0 has its own entry."""
    return start if isinstance(start, int) else max(1, round(start * epochs))
