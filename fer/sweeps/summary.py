"""The table at a sweep's end."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fer.runs.status import LOG, Status
from fer.sweeps.grid import Job
from fer.sweeps.watch import accuracy, told_seconds


def print_summary(jobs: Sequence[Job], outcomes: Mapping[str, Status], folder: Path, console: Console) -> None:
    """All jobs with their results; then what failed, why, and where to read on."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (("job", "left"), ("", "left"), ("test accuracy", "right"), ("took", "right")):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for job in jobs:
        status = outcomes.get(job.name, Status("waiting"))
        result = accuracy(job) if status.state in ("finished", "skipped") else ""
        took = told_seconds(status.seconds) if status.seconds else ""
        word = {"waiting": "not started", "skipped": "finished before"}.get(status.state, status.state)
        table.add_row(job.name, word, result, took)
    console.print()
    console.print(table)
    console.print(f"\neverything is in {folder}", highlight=False, soft_wrap=True)


def print_failures(jobs: Sequence[Job], outcomes: Mapping[str, Status], console: Console) -> int:
    """One line for each failed job; returns how many."""
    failed = [job for job in jobs if (status := outcomes.get(job.name)) is not None and status.state == "failed"]
    for job in failed:
        where = f"; see {job.folder / LOG}" if (job.folder / LOG).exists() else ""
        line = f"error: {job.name}: {outcomes[job.name].cause}{where}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return len(failed)
