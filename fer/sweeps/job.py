"""One job, in whatever process a launcher put it: start the run, watch it, record its status."""

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from fer.config.explain import quoted_text
from fer.errors import RunError
from fer.runs.folder import RunFolder
from fer.runs.status import Status, cause_of, one_line, read_status
from fer.sweeps.names import as_given
from fer.sweeps.process import Ending, StopFile, run_process

TRAIN = Path(__file__).resolve().parents[2] / "scripts" / "train.py"
OBJECTIVE = "val/accuracy"  # never of the test
KILLED = "killed by {} (out of memory?)"


def run_job(cfg: DictConfig | None = None) -> float | None:
    """The task that a launcher runs: train one job of a sweep in a process of its own.

    Args:
        cfg: what Hydra's launchers give; not used.

    Returns:
        Validation accuracy; None where the job did not finish.
    """
    hydra = HydraConfig.get()
    folder = RunFolder(hydra.runtime.output_dir)
    status = train_in_process(
        folder,
        as_given(hydra.overrides.task),
        StopFile(Path(hydra.sweep.dir)).asked,
        retries=OmegaConf.select(cast(DictConfig, hydra), "sweeper.retries", default=0),
        options=command_options(hydra),
    )
    return objective(folder) if status.state in ("finished", "skipped") else None


def train_in_process(
    folder: RunFolder,
    overrides: Sequence[str],
    asked: Callable[[], str | None],
    retries: int = 0,
    options: Sequence[str] = (),
    cores: int | None = None,
) -> Status:
    """Train in a process of its own, from the start or from where the folder's run stopped; skip a finished run.

    Args:
        folder: of the run; `output.log` and `status.json` in it record what happened.
        overrides: of `conf/train.yaml`.
        asked: see `run_process`.
        retries: how often to start again what a signal ended, such as the kernel's when memory runs out.
        options: of the command itself, such as `--config-dir`.
        cores: see `run_process`.
    """
    if folder.is_finished():
        return Status("skipped")
    folder.path.mkdir(parents=True, exist_ok=True)
    status = (read_status(folder) or Status("waiting")).but(exit_status=None, signal=None, cause=None)
    with suppress(RunError), folder.only_writer(timeout=60):
        pass  # a run whose watching process died saves and ends
    where = f"hydra.run.dir={quoted(folder.path)}"
    command = [sys.executable, str(TRAIN), *options, *overrides, where, "hydra.mode=RUN"]
    for attempt in range(1 + retries):
        if asked():
            status = status.but(state="waiting" if attempt == 0 else "stopped")
            break
        status = status.but(state="running", attempts=status.attempts + 1)
        status = _attempt(partial(run_process, command, folder.log_file, asked, cores), folder, status)
        if not (status.state == "failed" and status.signal):
            break
    status.write(folder)
    return status


def _attempt(run: Callable[[], Ending], folder: RunFolder, status: Status) -> Status:
    """Run a command once; returns the status with its ending."""
    status.write(folder)
    log = folder.log_file
    start = log.stat().st_size if log.exists() else 0
    started = time.monotonic()
    try:
        ending = run()
    except BaseException as error:  # a scheduler ends the watching process; the job is to be resumed
        seconds = status.seconds + time.monotonic() - started
        status.but(state="waiting", seconds=seconds, cause=one_line(str(error))).write(folder)
        raise
    seconds = status.seconds + ending.seconds
    status = status.but(exit_status=ending.exit_status, signal=ending.signal, cause=None, seconds=seconds)
    if ending.exit_status == 0 or ending.stopped:
        return status.but(state="finished" if ending.exit_status == 0 else "stopped")
    printed = cause_of(_tail(log, start))
    cause = KILLED.format(ending.signal) if ending.signal else printed or f"exit status {ending.exit_status}"
    return status.but(state="failed", cause=cause)


def make_waiting(folder: RunFolder) -> None:
    """Set the status of a job to waiting; how long earlier attempts took is kept."""
    before = read_status(folder) or Status("waiting")
    Status("waiting", seconds=before.seconds, attempts=before.attempts).write(folder)


def objective(folder: RunFolder) -> float | None:
    """Validation accuracy of a finished run."""
    value = metrics_of(folder).get(OBJECTIVE)
    return None if value is None else float(value)


def metrics_of(folder: RunFolder) -> dict[str, Any]:
    """The metrics of a run; empty where there are none to read."""
    try:
        return folder.read_metrics()
    except RunError:
        return {}


def quoted(path: Path | str) -> str:
    """A path quoted for Hydra's command line; relative if it lies below the working directory."""
    path = Path(path)
    text = str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    if re.fullmatch(r"[A-Za-z0-9_./+-]+", text):
        return text
    return quoted_text(text)


def _tail(log: Path, start: int, most: int = 100_000) -> str:
    size = log.stat().st_size
    with log.open("rb") as file:
        file.seek(max(start, size - most))
        return file.read().decode(errors="replace")


def command_options(hydra: Any) -> list[str]:
    """Options of the command that name other configs than the project's.

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
