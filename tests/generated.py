"""Generated cases: few in the suite, very many behind `slow`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy

Property = tuple[Callable[..., None], Sequence[SearchStrategy[Any]]]  # what must hold, and of which values


def checking(properties: Mapping[str, Property]) -> Callable[..., None]:
    """A test that checks each property, by name."""

    @pytest.mark.parametrize("name", properties)
    @pytest.mark.parametrize("cases", [25, pytest.param(10_000, marks=pytest.mark.slow)])
    def test(name: str, cases: int) -> None:
        check, values = properties[name]
        settings(max_examples=cases, deadline=None, derandomize=True, database=None)(given(*values)(check))()

    return test
