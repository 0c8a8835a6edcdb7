"""Progress over many jobs and the table at the end, read from their folders, wherever the jobs run."""

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from fer.runs.status import DONE, Status, read_status
from fer.sweeps.grid import Job
from fer.sweeps.job import metrics_of

POLL_SECONDS = 0.5
BAR_WIDTH = 38  # of a line: bar, numbers and time


class Watch:
    """A line for each job that ends, and in a terminal a bar with what runs now.

    Args:
        total: number of jobs.
        console: to print on.
    """

    def __init__(self, total: int, console: Console) -> None:
        self.total, self.console = total, console
        self.outcomes: dict[str, Status] = {}  # of jobs that ended, by name
        self._running: list[Job] = []
        self._started = time.monotonic()
        self._done_before = 0
        self._ended = 0  # by this command, without skipped ones
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: TaskID = self._bar.add_task("", total=total)

    def __enter__(self) -> "Watch":
        self._bar.start()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        self._bar.stop()

    def before(self, count: int) -> None:
        """Count what an earlier command did, which is no job of this one."""
        self._done_before = count

    def follow(self, jobs: Sequence[Job]) -> None:
        """Watch these until they end."""
        with self._lock:
            self._running += jobs

    def ended(self, job: Job, status: Status) -> None:
        """Report that a job has ended."""
        with self._lock:
            if job.name in self.outcomes:
                return
            self._running = [other for other in self._running if other is not job]
            if status.state == "waiting":
                return
            self.outcomes[job.name] = status
            self._ended += status.attempts > 0 and status.state != "skipped"
            self._say(job, status)
            self._bar.update(self._task, completed=self._done_before + len(self.outcomes))

    def _follow(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        now = []
        for job in list(self._running):
            status = read_status(job.folder)
            if status is not None and status.state in DONE:
                self.ended(job, status)
            elif status is not None and status.state == "running":
                now.append(f"{job.name}: {_last_line(job)}" if _last_line(job) else job.name)
        if not self._bar.disable:
            room = max(20, self.console.width - BAR_WIDTH)
            lines = [line if len(line) <= room else f"{line[: room - 1]}…" for line in now]
            self._bar.update(self._task, description=escape("\n".join(lines)))

    def _say(self, job: Job, status: Status) -> None:
        done = self._done_before + len(self.outcomes)
        line = f"[{done}/{self.total}] {job.name} {_verdict(job, status)}"
        if status.attempts > 0 and status.state != "skipped":
            line += f", took {duration(status.seconds)}"
            left = self.total - done
            if left and self._ended and status.state != "stopped":
                line += f"; about {duration((time.monotonic() - self._started) / self._ended * left)} left"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self.console.file.flush()  # a log that somebody follows


def print_summary(jobs: Sequence[Job], outcomes: Mapping[str, Status], folder: Path, console: Console) -> None:
    """Print all jobs with their results."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (("job", "left"), ("", "left"), ("test accuracy", "right"), ("took", "right")):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for job in jobs:
        status = outcomes.get(job.name, Status("waiting"))
        result = accuracy(job) if status.state in ("finished", "skipped") else ""
        took = duration(status.seconds) if status.seconds else ""
        word = {"waiting": "not started", "skipped": "finished before"}.get(status.state, status.state)
        table.add_row(job.name, word, result, took)
    console.print()
    console.print(table)
    console.print(f"\neverything is in {folder}", highlight=False, soft_wrap=True)


def print_failures(jobs: Sequence[Job], outcomes: Mapping[str, Status], console: Console) -> int:
    """Print a line for each failed job with its cause and its log; returns how many."""
    failed = [job for job in jobs if (status := outcomes.get(job.name)) is not None and status.state == "failed"]
    for job in failed:
        where = f"; see {job.folder.log_file}" if job.folder.log_file.exists() else ""
        line = f"error: {job.name}: {outcomes[job.name].cause}{where}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return len(failed)


def wide_console(stderr: bool = False) -> Console:
    """As wide as the terminal; wide enough for long names where there is none."""
    console = Console(soft_wrap=True, stderr=stderr)
    return console if console.is_terminal else Console(soft_wrap=True, stderr=stderr, width=200)


def accuracy(job: Job) -> str:
    """Test accuracy of a finished job, or nothing."""
    value = metrics_of(job.folder).get("test/accuracy")
    return "" if value is None else f"{value:.2%}"


def duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _verdict(job: Job, status: Status) -> str:
    if status.state == "skipped":
        return f"was finished already, {accuracy(job)}"
    if status.state == "finished":
        return f"finished, {accuracy(job)}"
    return f"{status.state}: {status.cause}" if status.cause else status.state


def _last_line(job: Job) -> str:
    try:
        with job.folder.log_file.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 1000))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1][:80] if lines else ""
