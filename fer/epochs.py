"""Values that change during a run, as start -> value: a start is an epoch, or a fraction of the run."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from fer.errors import ConfigError

Value = TypeVar("Value")


def is_start(start: object) -> bool:
    """An epoch (a whole number), or a fraction of the run between 0 and 1."""
    return (type(start) is int and start >= 0) or (isinstance(start, float) and 0 < start < 1)


def schedule(key: str, given: Mapping[int | float, Value] | Sequence[Sequence[Any]]) -> dict[int | float, Value]:
    """The schedule of a value, start -> value, from a mapping or from pairs.

    Configs hold pairs, `[[0, 64], [0.5, 96]]`: a list on the command line takes the place of the one before it,
    while a mapping would be merged into it.

    Raises:
        ConfigError: no pairs, no entry for epoch 0, or another key that is no start.
    """
    try:
        starts: dict[int | float, Value] = dict(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ConfigError(f"{key}={given}: give pairs of start and value, such as [[0,1],[0.5,2]]") from None
    if 0 not in starts:
        raise ConfigError(f"{key}={given}: say what holds from epoch 0 on")
    if not all(is_start(start) for start in starts):
        raise ConfigError(
            f"{key}={given}: starts are epochs (whole numbers) or fractions of the run between 0 and 1, "
            "such as 0, 3 or 0.5"
        )
    return starts


def schedule_value(starts: Mapping[int | float, Value], epoch: int, epochs: int) -> Value:
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
