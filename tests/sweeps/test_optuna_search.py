"""What Optuna is asked, and what becomes of its answers."""

from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from fer.errors import ConfigError
from fer.sweeps.optuna_search import OptunaSweeper, propose

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


def searched(tmp_path: Path, *lines: str) -> tuple[OptunaSweeper, Any, dict[str, Any]]:
    search = OptunaSweeper(trials=3)
    search.folder = tmp_path
    overrides = {override.get_key_element(): override for override in OverridesParser.create().parse_overrides(lines)}
    study = search._study(optuna)
    search._check_command(study, overrides)
    return search, study, overrides


def test_trials_of_another_command_are_not_taken_up(tmp_path: Path) -> None:
    rate = "optimizer.lr=tag(log,interval(1e-5,1e-1))"
    _, study, _ = searched(tmp_path, "data=fer2013", rate)
    searched(tmp_path, "data=ckplus", rate)  # nothing was tried yet
    searched(tmp_path, "data=fer2013", rate)
    study.ask()
    searched(tmp_path, rate, "data.source=elsewhere", "data=fer2013", "hydra.sweeper.trials=9")
    for lines, told in (
        (["data=ckplus", rate], "data=fer2013 there, data=ckplus here"),
        (["data=fer2013", rate.replace("1e-5", "1e-6")], "1e-6"),
        (["data=fer2013", rate, "trainer.max_epochs=3"], "nothing there, trainer.max_epochs=3 here"),
        (["data=fer2013", rate, "callbacks=early_stopping"], "nothing there, callbacks=early_stopping here"),
    ):
        with pytest.raises(ConfigError, match=told):
            searched(tmp_path, *lines)


def test_a_stopped_trial_is_proposed_once_however_often_the_search_is_begun(tmp_path: Path) -> None:
    line = "optimizer.lr=interval(0.1,0.2)"
    _, study, overrides = searched(tmp_path, line)
    for rate in (0.1, 0.2):
        study.enqueue_trial({"optimizer.lr": rate})
        propose(study.ask(), "optimizer.lr", overrides["optimizer.lr"])
    for _ in range(3):
        search, study, _ = searched(tmp_path, line)
        assert search._resume(optuna, study) == 0
    waiting = [trial for trial in study.get_trials() if trial.state == optuna.trial.TrialState.WAITING]
    assert sorted(trial.system_attrs["fixed_params"]["optimizer.lr"] for trial in waiting) == [0.1, 0.2]


def test_what_is_no_space() -> None:
    with pytest.raises(ConfigError, match="interval"):
        proposals("a=glob(*)", 1)
