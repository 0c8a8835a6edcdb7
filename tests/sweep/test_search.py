"""What Optuna is asked, and what becomes of its answers."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from fer.errors import ConfigError
from fer.sweep.search import propose

optuna = pytest.importorskip("optuna")


def proposals(line: str, count: int = 40) -> list[str]:
    override = OverridesParser.create().parse_override(line)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [propose(study.ask(), override.get_key_element(), override) for _ in range(count)]


def test_every_kind_of_space() -> None:
    rates = [float(text) for text in proposals("optimizer.lr=tag(log,interval(1e-5,1e-1))")]
    assert min(rates) < 1e-4
    assert max(rates) > 1e-2
    assert sum(rate < 1e-3 for rate in rates) > 10  # half, on a log scale; a hundredth on a plain one
    assert set(proposals("a=1,x")) == {"1", "x"}
    assert set(proposals("a=choice(0.0,0.1)")) == {"0.0", "0.1"}
    assert set(proposals("a=range(1,4)")) == {"1", "2", "3"}
    assert set(proposals("a=int(interval(1,3))")) == {"1", "2", "3"}


def test_numbers_are_short_enough_for_the_name_of_a_folder() -> None:
    assert max(map(len, proposals("a=interval(0.0001,0.1)"))) <= 8


def test_what_is_no_space() -> None:
    with pytest.raises(ConfigError, match="interval"):
        proposals("a=glob(*)", 1)
