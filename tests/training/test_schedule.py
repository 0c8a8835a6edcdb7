"""Learning-rate factors are pure functions of the step."""

import itertools

import pytest
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR

from fer.errors import ConfigError
from fer.training.schedule import Constant, Cosine, LearningRateSchedule, OneCycle

WARMUPS = (0.0, 0.05, 0.25, 0.5, 1.0)


def curve(schedule, total_steps: int) -> list[float]:
    return [schedule(step, total_steps) for step in range(total_steps)]


@pytest.mark.parametrize("kind", [OneCycle, Cosine])
@pytest.mark.parametrize("warmup", WARMUPS)
@pytest.mark.parametrize("total_steps", [1, 2, 3, 10, 997])
def test_factors_stay_between_zero_and_one(kind, warmup, total_steps):
    schedule = kind(warmup=warmup)
    assert all(0 <= factor <= 1 for factor in curve(schedule, total_steps))
    assert 0 <= schedule(total_steps, total_steps) <= 1  # schedulers ask once more after the last step


def test_one_cycle_goes_from_start_over_the_base_rate_to_end():
    factors = curve(OneCycle(warmup=0.25, start=0.04, end=1e-4), 101)
    assert factors[0] == pytest.approx(0.04)
    assert factors[25] == pytest.approx(1.0)
    assert factors[100] == pytest.approx(1e-4)
    assert factors[:26] == sorted(factors[:26])
    assert factors[25:] == sorted(factors[25:], reverse=True)


def test_cosine_rises_linearly_and_ends_at_zero():
    factors = curve(Cosine(warmup=0.1, end=0.0), 101)
    rises = [after - before for before, after in itertools.pairwise(factors[:11])]
    assert rises == pytest.approx([rises[0]] * len(rises))
    assert factors[0] > 0  # the first step counts
    assert max(factors) == factors[10] == pytest.approx(1.0)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0.0)
    assert factors[55] == pytest.approx(0.5)


@pytest.mark.parametrize("kind", [OneCycle, Cosine])
def test_without_warmup_the_base_rate_comes_first(kind):
    factors = curve(kind(warmup=0.0), 50)
    assert factors[0] == pytest.approx(1.0)
    assert factors == sorted(factors, reverse=True)


@pytest.mark.parametrize("kind", [OneCycle, Cosine])
def test_a_run_that_is_all_warmup_rises_until_its_last_step(kind):
    schedule = kind(warmup=1.0)
    factors = curve(schedule, 50)
    assert factors[:-1] == sorted(factors[:-1])
    assert factors[-2] > 0.9
    assert factors[-1] == pytest.approx(schedule.end)


def test_constant_is_one():
    assert set(curve(Constant(), 20)) == {1.0}


@pytest.mark.parametrize("schedule", [OneCycle(), Cosine(), Constant()])
def test_the_order_of_questions_does_not_matter(schedule):
    forwards = [schedule(step, 30) for step in range(30)]
    backwards = [schedule(step, 30) for step in reversed(range(30))]
    assert forwards == backwards[::-1]


@pytest.mark.parametrize("kind", [OneCycle, Cosine])
@pytest.mark.parametrize("warmup", [-0.1, 1.5, 5])
def test_warmup_is_a_fraction_of_the_run(kind, warmup):
    """A 5 that means epochs would never reach the base rate."""
    with pytest.raises(ConfigError, match="fraction"):
        kind(warmup=warmup)


def test_a_scheduler_steps_through_the_whole_curve():
    schedule = OneCycle()
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=0.5)
    scheduler = LambdaLR(optimizer, lambda step: schedule(step, 12))
    rates = []
    for _ in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.5 * factor for factor in curve(schedule, 12)])


class TestPhases:
    """A whole cycle for each phase of the freeze schedule."""

    SCHEDULE = LearningRateSchedule({"stem": 1e-5, "head": 1e-2}, OneCycle(), starts=[0, 10], total_steps=40)

    def test_each_phase_runs_through_the_whole_curve(self):
        rates = [self.SCHEDULE(step, "head") for step in range(40)]
        assert rates[:10] == pytest.approx([1e-2 * factor for factor in curve(OneCycle(), 10)])
        assert rates[10:] == pytest.approx([1e-2 * factor for factor in curve(OneCycle(), 30)])

    def test_the_stages_keep_their_ratio(self):
        assert {round(self.SCHEDULE(step, "head") / self.SCHEDULE(step, "stem")) for step in range(40)} == {1000}

    def test_a_run_without_phases_is_one_cycle(self):
        schedule = LearningRateSchedule({"head": 1.0}, OneCycle(), starts=[0], total_steps=25)
        assert [schedule(step, "head") for step in range(25)] == curve(OneCycle(), 25)

    def test_the_step_after_the_last_has_a_rate_too(self):
        """Schedulers ask for it."""
        assert 0 <= self.SCHEDULE.factor(40) < 1e-3
