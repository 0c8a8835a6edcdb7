"""One job, in whatever process a launcher put it: start the run, watch it, write down what became of it."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from fer.errors import RunError
from fer.runs.folder import METRICS, is_finished, only_writer
from fer.runs.status import LOG, Status, cause_of, one_line, read_status
from fer.sweeps.names import as_given
from fer.sweeps.process import run_process
from fer.sweeps.stop import StopFile

TRAIN = Path(__file__).resolve().parents[2] / "scripts" / "train.py"
OBJECTIVE = "val/accuracy"  # never of the test
KILLED = "killed by {} (out of memory?)"


def in_sweep() -> bool:
    """Whether Hydra called the task for a job of a sweep."""
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def run_job(cfg: DictConfig | None = None) -> float | None:
    """The task of a sweep's job: train in a process of its own.

    Args:
        cfg: not used; what Hydra's launchers give to their task.

    Returns:
        Validation accuracy; None where the job did not finish.
    """
    hydra = HydraConfig.get()
    folder, sweep = Path(hydra.runtime.output_dir), Path(hydra.sweep.dir)
    status = train_apart(
        folder,
        as_given(hydra.overrides.task),
        StopFile(sweep).asked,
        retries=hydra.callbacks["sweep"].get("retries", 0),
        options=command_options(hydra),
    )
    return objective(folder) if status.state in ("finished", "skipped") else None


def train_apart(
    folder: Path,
    overrides: Sequence[str],
    asked: Callable[[], str | None],
    retries: int = 0,
    options: Sequence[str] = (),
) -> Status:
    """Train in a process of its own, anew or from where the folder's run stopped; a finished run is left alone.

    Args:
        folder: of the run; its `output.log` and `status.json` tell what happened.
        overrides: of `conf/train.yaml`.
        asked: see `run_process`.
        retries: how often to start again what a signal ended, such as the kernel's when memory runs out.
        options: of the command itself.
    """
    if is_finished(folder):
        return Status("skipped")
    folder.mkdir(parents=True, exist_ok=True)
    before = read_status(folder) or Status("waiting")
    status = before.but(state="running", exit_status=None, signal=None, cause=None)
    _wait_for_writer(folder)
    command = [sys.executable, str(TRAIN), *options, *overrides, f"hydra.run.dir={quoted(folder)}", "hydra.mode=RUN"]
    for attempt in range(1 + retries):
        if asked():
            status = status.but(state="waiting" if attempt == 0 else "stopped")
            break
        status = status.but(state="running", attempts=status.attempts + 1)
        status.write(folder)
        log = folder / LOG
        start = log.stat().st_size if log.exists() else 0
        started = time.monotonic()
        try:
            ending = run_process(command, log, asked)
        except BaseException as error:  # a scheduler takes the watching process away; the job is to be taken up again
            waited = time.monotonic() - started
            status.but(state="waiting", seconds=status.seconds + waited, cause=one_line(str(error))).write(folder)
            raise
        status = status.but(
            exit_status=ending.exit_status, signal=ending.signal, seconds=status.seconds + ending.seconds
        )
        if ending.exit_status == 0:
            status = status.but(state="finished", cause=None)
            break
        if ending.stopped:
            status = status.but(state="stopped", cause=None)
            break
        said = cause_of(_tail(log, start))
        cause = KILLED.format(ending.signal) if ending.signal else said or f"exit status {ending.exit_status}"
        status = status.but(state="failed", cause=cause)
        if not ending.signal:
            break
    status.write(folder)
    return status


def make_waiting(folder: Path) -> None:
    """Forget how the last attempt at a job ended, but not how long it took."""
    before = read_status(folder) or Status("waiting")
    Status("waiting", seconds=before.seconds, attempts=before.attempts).write(folder)


def objective(folder: Path) -> float | None:
    """Validation accuracy of a finished run."""
    value = read_metrics(folder).get(OBJECTIVE)
    return None if value is None else float(value)


def read_metrics(folder: Path) -> dict[str, Any]:
    """`metrics.json`, or nothing."""
    try:
        return json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def quoted(path: Path | str) -> str:
    """A value as Hydra's command line takes it whole; relative to the working directory where it lies below."""
    path = Path(path)
    text = str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    if re.fullmatch(r"[A-Za-z0-9_./+-]+", text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _wait_for_writer(folder: Path, seconds: float = 60.0) -> None:
    """Let a run whose watcher died save and go."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with only_writer(folder):
                return
        except RunError:
            time.sleep(0.5)


def _tail(log: Path, start: int, most: int = 100_000) -> str:
    size = log.stat().st_size
    with log.open("rb") as file:
        file.seek(max(start, size - most))
        return file.read().decode(errors="replace")


def command_options(hydra: Any) -> list[str]:
    """The command's own options, where other configs than the project's were asked for.

    Args:
        hydra: its config.
    """
    options = []
    if hydra.job.config_name != "train":
        options.append(f"--config-name={hydra.job.config_name}")
    for source in hydra.runtime.config_sources:
        if source.provider == "command-line":
            options.append(f"--config-dir={os.path.abspath(source.path)}")
        elif source.provider == "main" and Path(source.path).resolve() != TRAIN.parents[1] / "conf":
            options.append(f"--config-path={os.path.abspath(source.path)}")
    return options
