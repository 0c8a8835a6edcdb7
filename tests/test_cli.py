"""The commands as a user types them, each in its own process; few, for each loads torch anew."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from fer.cli import job_name, run_folder, swept_keys, typeable

ROOT = Path(__file__).resolve().parents[1]


def call(*arguments: str, folder: Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / arguments[0]), *arguments[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize("script", ["train.py", "prepare.py", "benchmark.py"])
def test_help_answers_at_once(script: str, tmp_path: Path) -> None:
    started = time.perf_counter()
    done = call(script, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert "data" in done.stdout
    assert time.perf_counter() - started < 5  # a loaded machine; 0.6 s on an idle one
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "hint"),
    [("model=resnet19", "resnet18"), ("trainer.max_epoch=3", "trainer.max_epoch"), ("date=demo", "date")],
)
def test_a_mistyped_option_gets_a_hint_and_no_traceback(override: str, hint: str, tmp_path: Path) -> None:
    done = call("train.py", override, folder=tmp_path)
    assert done.returncode == 1
    assert hint in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_an_expected_error_is_one_line(tmp_path: Path) -> None:
    done = call("prepare.py", "data=fer2013", f"data.source={tmp_path}/gone.zip", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [f"error: data.source={tmp_path}/gone.zip does not exist"]


def test_a_multirun_goes_on_after_a_failed_job(
    tiny_overrides: list[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    overrides = [o for o in tiny_overrides if not o.startswith("trainer.max_epochs")]
    sweep = ["data.fold=1,0", "trainer.max_epochs=1", "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep"]
    done = call("train.py", "-m", *overrides, *sweep, folder=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "data.fold=1" in done.stderr
    assert "Traceback" not in done.stderr
    jobs = {path.parent.name for path in (tmp_path / "sweep").glob("*/metrics.json")}
    assert jobs == {"resnet18_fer2013_seed0_fold-0", "resnet18_fer2013_seed1_fold-0"}


def test_job_names_are_short_and_can_be_typed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    choices = OmegaConf.create({"model": "resnet18", "data": "ckplus"})
    assert isinstance(choices, DictConfig)
    overrides = ["model=resnet18", "data=ckplus", "trainer.max_epochs=3"]
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "model=resnet18,resnet34", "trainer.max_epochs=3"])
    assert job_name(choices, 0, overrides) == "resnet18_ckplus_seed0"
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "optimizer.lr=1e-3,1e-4", "seed=range(3)"])
    assert job_name(choices, 2, ["optimizer.lr=1e-3", "seed=2"]) == "resnet18_ckplus_seed2_lr-1e-3"


def test_swept_keys_are_those_with_several_values() -> None:
    arguments = ["-m", "--config-name", "a=1,2", "b=[1,2]", "+c=choice(x,y)", "d=range(1,4)", "e='x,y'", "hydra.x=1"]
    assert swept_keys(arguments) == {"a", "c", "d"}


def test_names_hold_nothing_that_the_command_line_reads() -> None:
    assert typeable("data.classes=[happy, sad],x y") == "data.classes-happy-sad-x-y"


@pytest.mark.parametrize(
    ("resume", "folder"),
    [
        (None, "fresh"),
        ("outputs/a", "outputs/a"),
        ("outputs/a/checkpoints/last.ckpt", "outputs/a"),
    ],
)
def test_a_resumed_run_stays_in_its_folder(resume: str | None, folder: str) -> None:
    assert run_folder(resume, "fresh") == folder
