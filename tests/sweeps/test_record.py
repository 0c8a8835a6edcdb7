"""The plan of a record: as many epochs as fit, every result in the table, nothing after the deadline."""

import time
from pathlib import Path

import pytest
from omegaconf import DictConfig

from fer.errors import ConfigError, RunError
from fer.runs.folder import RunFolder
from fer.sweeps import record as module
from fer.sweeps.record import MOST_EPOCHS, START_SECONDS, record
from tests.composing import composed


def config(*overrides: str) -> DictConfig:
    return composed("record", "output=x", "study=false", *overrides)


class Machine:
    """Stands for the processes: each writes the metrics of its command at once."""

    def __init__(self, images_per_second: float = 1000.0, broken: str = "") -> None:
        self.images_per_second, self.broken = images_per_second, broken
        self.commands: list[list[str]] = []

    def start(self, command: list[str]) -> int:
        self.commands.append(list(command))
        folder = next(part.partition("=")[2] for part in command if part.startswith("hydra.run.dir="))
        if self.broken and self.broken in folder:
            return 1
        facts = {"train_images_per_second": self.images_per_second, "train/images": 10_000, "train_seconds": 60.0}
        accuracy = {"val/accuracy": 0.7, "test/accuracy": 0.72}
        RunFolder(folder).write_metrics(facts | accuracy)
        return 0

    def epochs(self) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for command in self.commands:
            if any("_seed" in part and part.startswith("hydra.run.dir") for part in command):
                values = dict(part.partition("=")[::2] for part in command)
                found.setdefault(values["model"], set()).add(int(values["trainer.max_epochs"]))
        return found


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(module, "_start", machine.start)
    monkeypatch.setattr(module, "_wait", lambda status, deadline: status)
    return machine


def test_every_training_ten_views_and_votes_are_in_the_table(machine: Machine, tmp_path: Path) -> None:
    record(config("minutes=14", "seeds=2"), tmp_path)
    table = (tmp_path / "record.md").read_text()
    for name in ("resnet18_seed0", "resnet18_seed1", "resnet34_seed0", "resnet50_seed0"):
        assert f"| {name} |" in table
        assert f"| {name}, ten views |" in table
    assert "resnet18_seed0 + resnet34_seed0 + resnet50_seed0, ten views" in table
    assert "72.00 %" in table


def test_epochs_fill_the_time_and_no_more(machine: Machine, tmp_path: Path) -> None:
    machine.images_per_second = 5000.0  # two seconds an epoch
    record(config("minutes=10", "seeds=3"), tmp_path)
    [eighteen] = machine.epochs()["resnet18"]
    [fifty] = machine.epochs()["resnet50"]
    training = 600 * (1 - module.FOR_VOTING)
    assert 3 * 2 * eighteen <= 0.4 * training - START_SECONDS + 1
    assert training - START_SECONDS - 3 <= 2 * (fifty + 1) <= training  # all that is left, for the others took no time
    machine.images_per_second, machine.commands = 1e9, []
    record(config("minutes=10"), tmp_path / "fast")
    assert set.union(*machine.epochs().values()) == {MOST_EPOCHS}


def test_one_that_fails_does_not_stop_the_others(machine: Machine, tmp_path: Path) -> None:
    machine.broken = "resnet34_seed0"
    record(config("minutes=14", "seeds=1"), tmp_path)
    table = (tmp_path / "record.md").read_text()
    assert "resnet34" not in table
    assert "resnet18_seed0 + resnet50_seed0, ten views" in table


def test_what_cannot_work_is_told_before_it_costs_time(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 minutes"):
        record(config("minutes=1"), tmp_path)
    machine.broken = "timing"
    with pytest.raises(RunError, match="could not be timed"):
        record(config(), tmp_path)


def test_a_process_is_asked_to_stop_at_the_deadline() -> None:
    import subprocess
    import sys

    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = time.monotonic()
    assert module._wait(sleeper, time.monotonic() + 0.1) != 0
    assert time.monotonic() - started < 20
