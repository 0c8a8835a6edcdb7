"""Rules: what a value of the config may be, as a test and in words."""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What a key may be set to.

    Args:
        words: in which errors and `--help` say it, after "give".
        accepts: whether a value, as YAML has it, is allowed.
        choices: the words that are allowed, where it is a choice.
        text: whether any text is meant, such as a path: then characters of Hydra's grammar need no quotes.
    """

    words: str
    accepts: Callable[[Any], bool]
    choices: tuple[str, ...] = ()
    text: bool = False

    def or_null(self) -> "Rule":
        return replace(self, words=f"{self.words}, or null", accepts=lambda v: v is None or self.accepts(v))

    def or_words(self, *words: str) -> "Rule":
        """This, or one of a few words."""
        shown = f"{self.words}, or {' or '.join(words)}"
        return replace(self, words=shown, accepts=lambda v: v in words or self.accepts(v), choices=words)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def whole(low: int, high: int | None = None) -> Rule:
    words = f"a whole number of {low} or more" if high is None else f"a whole number from {low} to {high}"

    def accepts(value: Any) -> bool:
        return is_number(value) and isinstance(value, int) and low <= value and (high is None or value <= high)

    return Rule(words, accepts)


def number(low: float, high: float | None = None, *, over: bool = False, below: bool = False) -> Rule:
    """A number between two bounds; `over` and `below` leave the lower and the upper one out."""
    start = f"over {low:g}" if over else f"from {low:g}"
    end = "" if high is None else f" to below {high:g}" if below else f" to {high:g}"
    start = f"a number of {low:g} or more" if high is None and not over else f"a number {start}"

    def accepts(value: Any) -> bool:
        if not is_number(value) or not (low < value if over else low <= value):
            return False
        return high is None or (value < high if below else value <= high)

    return Rule(start + end, accepts)


def choice(*words: str) -> Rule:
    return Rule(f"one of {', '.join(words)}", lambda value: value in words and isinstance(value, str), words)


FLAG = Rule("true or false", lambda value: isinstance(value, bool))
TEXT = Rule("text", lambda value: isinstance(value, str) and value != "", text=True)
PATH = Rule("a path", lambda value: isinstance(value, str) and value != "", text=True)
PATHS = Rule(
    "a path, or several as [A,B]",
    lambda value: PATH.accepts(value) or (isinstance(value, list) and bool(value) and all(map(PATH.accepts, value))),
    text=True,
)
# Epochs, or a fraction of the run
SPAN = Rule(
    "epochs (a whole number of 1 or more) or a fraction of the run between 0 and 1",
    lambda value: is_number(value) and (value >= 1 if isinstance(value, int) else 0 < value < 1),
)
PORTION = Rule("a whole number of 1 or more, or a fraction over 0 to 1", lambda v: whole(1).accepts(v) or _share(v))


def _share(value: Any) -> bool:
    return isinstance(value, float) and is_number(value) and 0 < value <= 1


def pattern(regex: str, words: str) -> Rule:
    return Rule(words, lambda value: isinstance(value, str) and re.fullmatch(regex, value) is not None)


def regular_expression() -> Rule:
    def accepts(value: Any) -> bool:
        try:
            re.compile(value)
        except (re.error, TypeError):
            return False
        return True

    return Rule("a regular expression, such as '([A-Z]+)[.]'", accepts, text=True)


def pair(one: Rule, words: str, ascending: bool = False) -> Rule:
    """Two values as [low,high]."""

    def accepts(value: Any) -> bool:
        both = isinstance(value, list) and len(value) == 2 and all(map(one.accepts, value))
        return both and not (ascending and value[0] > value[1])

    return Rule(words, accepts)


def several(one: Rule, least: int, words: str) -> Rule:
    """A list of values, each once."""

    def accepts(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) >= least
            and all(map(one.accepts, value))
            and len(set(map(str, value))) == len(value)
        )

    return Rule(words, accepts, one.choices)


def starts(one: Rule, words: str) -> Rule:
    """Pairs of a start (an epoch, or a fraction of the run) and what holds from then on, the first from epoch 0."""

    def is_entry(entry: Any) -> bool:
        if not (isinstance(entry, list) and len(entry) == 2 and one.accepts(entry[1])):
            return False
        return entry[0] == 0 or SPAN.accepts(entry[0])

    def accepts(value: Any) -> bool:
        if isinstance(value, dict):
            value = [list(entry) for entry in value.items()]
        return isinstance(value, list) and all(map(is_entry, value)) and any(entry[0] == 0 for entry in value)

    return Rule(words, accepts)


def nearest(word: str, words: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The word that was probably meant."""
    known: Sequence[str] = list(dict.fromkeys(words))
    by_lower = {each.lower(): each for each in known}
    letters = sorted(word.lower())
    if (swapped := next((each for each in by_lower if sorted(each) == letters), None)) is not None:
        return by_lower[swapped]
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None
