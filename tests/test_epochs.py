import pytest

from fer.epochs import schedule, schedule_value
from fer.errors import ConfigError


def values(starts, epochs):
    return [schedule_value(starts, epoch, epochs) for epoch in range(epochs)]


def test_a_value_holds_until_the_next_start():
    assert values({0: "a", 2: "b", 3: "c"}, 5) == ["a", "a", "b", "c", "c"]


def test_fractions_are_of_the_run():
    assert values({0: 64, 0.5: 96}, 4) == [64, 64, 96, 96]
    assert values({0: 64, 0.5: 96}, 10) == [64] * 5 + [96] * 5


def test_a_fraction_never_takes_the_first_epoch():
    assert values({0: 64, 0.01: 96}, 3) == [64, 96, 96]


def test_what_never_comes_in_a_short_run_never_holds():
    assert values({0: "head", 5: "all"}, 3) == ["head"] * 3


def test_pairs_are_what_configs_hold():
    assert schedule("some.key", [[0, 64], [0.5, 96]]) == {0: 64, 0.5: 96} == schedule("some.key", {0: 64, 0.5: 96})


@pytest.mark.parametrize(
    "starts", [[1, 2], 7, "all", [[0]], {}, {1: "a"}, {0: "a", 1.5: "b"}, {0: "a", -1: "b"}, {0: "a", "soon": "b"}]
)
def test_what_is_no_course_of_a_run_is_refused(starts):
    with pytest.raises(ConfigError, match=r"some\.key"):
        schedule("some.key", starts)
