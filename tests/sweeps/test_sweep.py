"""Sweeps and folds as typed: each job is a process that loads torch, so there are few."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fer.runs.status import Status, read_status
from tests.forked import run_script

ROOT = Path(__file__).resolve().parents[2]
ENDINGS = {
    "null": "null",
    "crashed": "{_target_:interruptions.RaiseAt,step:1}",
}


def start(*arguments: str, folder: Path) -> subprocess.Popen:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "training"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes)


def call(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run_script("train", *arguments, folder=folder, seconds=400)


def status(folder: Path) -> Status:
    found = read_status(folder)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def short(tiny_overrides: list[str]) -> list[str]:
    return [*tiny_overrides, "trainer.max_epochs=1"]


class TestIsolation:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("sweep")

    @pytest.fixture(scope="class")
    def done(self, short: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        kinds = f"+callbacks.end={','.join(ENDINGS.values())}"
        settings = ["hydra.sweep.dir=outputs/sweeps/x"]
        return call("-m", *short, kinds, *settings, folder=folder)

    @pytest.fixture(scope="class")
    def jobs(self, done: subprocess.CompletedProcess[str], folder: Path) -> dict[str, Path]:
        found = {path.parent.name: path.parent for path in (folder / "outputs/sweeps/x").glob("*/status.json")}
        assert all(name.startswith("resnet18_fer2013_seed0_end-") for name in found)
        words = {"null": "null", "crashed": "RaiseAt"}
        return {kind: next(found[name] for name in found if word in name) for kind, word in words.items()}

    def test_a_crash_leaves_the_others_running(self, done, jobs) -> None:
        assert done.returncode == 1, done.stderr
        assert {kind: status(job).state for kind, job in jobs.items()} == {"null": "finished", "crashed": "failed"}
        assert (jobs["null"] / "metrics.json").exists()

    def test_the_cause_stands_in_the_jobs_folder_and_in_the_summary(self, done, jobs) -> None:
        assert status(jobs["crashed"]).cause == "RuntimeError: crashed"
        assert "Traceback" in (jobs["crashed"] / "output.log").read_text()
        assert (status(jobs["crashed"]).exit_status, status(jobs["crashed"]).attempts) == (1, 1)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert "RuntimeError: crashed" in errors[0]
        assert "Traceback" not in done.stderr + done.stdout
        assert "[2/2]" in done.stdout

    def test_a_job_is_an_ordinary_run(self, jobs) -> None:
        config = (jobs["null"] / "config.yaml").read_text()
        assert "sweep" not in config
        assert "hydra" not in config

    def test_the_comparison_runs_by_itself(self, done, folder: Path) -> None:
        assert (folder / "outputs/sweeps/x/comparison.html").exists()
        assert (folder / "outputs/sweeps/x/comparison.csv").exists()

    def test_what_is_finished_is_not_run_again(self, done, jobs, short: list[str], folder: Path) -> None:
        before = (jobs["null"] / "metrics.json").stat().st_mtime_ns
        settings = ["hydra.sweep.dir=outputs/sweeps/x", "hydra.sweeper.compare=false"]
        again = call("-m", *short, "+callbacks.end=null,${nowhere}", *settings, folder=folder)
        assert again.returncode == 1  # for what cannot be composed
        assert "nowhere" in again.stderr
        assert "finished already" in again.stdout
        assert (jobs["null"] / "metrics.json").stat().st_mtime_ns == before
        assert status(jobs["null"]).attempts == 1


def test_a_mistake_that_all_jobs_share_is_one_line(tmp_path: Path) -> None:
    done = call("-m", "model=resnet18,resnet34", "optimizer.learning_rate=1,2", folder=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert "learning_rate" in done.stderr
    assert not list(tmp_path.glob("**/status.json"))


@pytest.mark.slow
def test_all_folds_are_trained_and_pooled(short: list[str], ckplus_zip: Path, tmp_path: Path) -> None:
    data = ["data=ckplus_contempt", f"data.source={ckplus_zip}", "data.root=packs", "data.folds=2"]
    others = [override for override in short if not override.startswith(("data=", "data.source", "data.root"))]
    done = call(*others, *data, "folds=all", "hydra.run.dir=run", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    assert sorted(path.name for path in run.glob("fold*") if path.is_dir()) == ["fold0", "fold1"]
    folds = [_names(run / f"fold{fold}") for fold in (0, 1)]
    people = [{name.rsplit("/")[-1].split("_")[0] for name in names} for names in folds]
    assert not people[0] & people[1]
    assert sorted(_names(run)) == sorted([*folds[0], *folds[1]])
    assert len(set(_names(run))) == 84
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test/images"] == 84


def _names(folder: Path) -> list[str]:
    with (folder / "predictions.csv").open(newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


@pytest.mark.slow
def test_side_by_side_and_one_after_the_other_give_the_same_bits(short: list[str], tmp_path: Path) -> None:
    given = ["-m", *short, "seed=0,1", "hydra.sweeper.compare=false"]
    for jobs in (1, 2):
        done = call(*given, f"jobs={jobs}", f"hydra.sweep.dir=sweep{jobs}", folder=tmp_path)
        assert done.returncode == 0, done.stderr
    for name in ("resnet18_fer2013_seed0", "resnet18_fer2013_seed1"):
        one, two = (tmp_path / f"sweep{jobs}" / name / "predictions.csv" for jobs in (1, 2))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_stopped_sweep_saves_and_the_same_command_goes_on(
    launcher: str, number: int, code: int, short: list[str], tmp_path: Path
) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    settings = [f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep", "hydra.sweeper.compare=false"]
    command = ["-m", *short, "trainer.max_epochs=12", "seed=0,1", *settings]
    process = start(*command, folder=tmp_path)
    until = time.monotonic() + 120
    while not list(tmp_path.glob("sweep/*/checkpoints/last.ckpt")) and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    states = {status(path.parent).state for path in tmp_path.glob("sweep/*/status.json")}
    assert "stopped" in states
    assert states <= {"stopped", "waiting"}
    assert not (tmp_path / "sweep" / ".stop").exists()
    again = call(*command, folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(list(tmp_path.glob("sweep/*/metrics.json"))) == 2
    stopped = min(tmp_path.glob("sweep/*/status.json"), key=lambda path: path.parent.name).parent
    assert status(stopped).attempts == 2
    assert (stopped / "output.log").read_text().count("epoch 0:") == 1  # gone on with, not begun anew


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "plugin"), [("joblib", "joblib"), ("ray", "ray"), ("submitit_local", "submitit")], ids=str
)
def test_jobs_run_where_a_launcher_puts_them(launcher: str, plugin: str, short: list[str], tmp_path: Path) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{plugin}_launcher")
    settings = [f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep", "hydra.sweeper.compare=false"]
    done = call("-m", *short, "seed=0,1", *settings, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("sweep/*/metrics.json"))) == 2


@pytest.mark.slow
def test_two_ranks_in_a_sweep_are_one_run_each(short: list[str], tmp_path: Path) -> None:
    ddp = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=16"]
    others = [override for override in short if override != "trainer=cpu" and "batch_size" not in override]
    settings = ["hydra.sweep.dir=sweep", "hydra.sweeper.compare=false"]
    done = call("-m", *others, *ddp, "seed=0,1", *settings, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    folders = [path.parent for path in tmp_path.glob("sweep/*/metrics.json")]
    assert sorted(folder.name for folder in folders) == ["resnet18_fer2013_seed0", "resnet18_fer2013_seed1"]
    for folder in folders:
        assert json.loads((folder / "metrics.json").read_text())["test/images"] == 42
    assert {path.name for path in tmp_path.iterdir()} == {"sweep"}  # no folder of a rank's own


@pytest.mark.slow
def test_a_search_goes_on_to_more_trials(short: list[str], tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    command = ["sweep=optuna", *short, "hydra.sweep.dir=search"]
    first = call(*command, "hydra.sweeper.trials=2", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    second = call(*command, "hydra.sweeper.trials=3", folder=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "[3/3]" in second.stdout
    assert "best val/accuracy" in second.stdout
    assert len(list(tmp_path.glob("search/*/metrics.json"))) == 3
