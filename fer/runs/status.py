"""`status.json` of a sweep's job: its state while it runs and after."""

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from fer.files import write_json
from fer.runs.folder import RunFolder

# waiting -> running -> finished, failed or stopped; skipped (never written): finished before this sweep.
DONE = ("finished", "failed", "stopped", "skipped")
HINTS = ("Set the environment variable HYDRA_FULL_ERROR", "See https://", "Error executing job with overrides")
MAX_CAUSE_LENGTH = 400


@dataclass(frozen=True)
class Status:
    """State of a job.

    Args:
        state: waiting, running, finished, failed, stopped, skipped.
        exit_status: of its process; None where there is none yet, or a signal ended it.
        signal: name of the signal that ended it.
        cause: of a failure, in one line.
        seconds: that it ran, all attempts together.
        attempts: how often it was started.
    """

    state: str
    exit_status: int | None = None
    signal: str | None = None
    cause: str | None = None
    seconds: float = 0.0
    attempts: int = 0

    def write(self, folder: os.PathLike[str]) -> None:
        write_json(RunFolder(folder).status_file, asdict(self))

    def but(self, **changes: Any) -> "Status":
        return replace(self, **changes)


def read_status(folder: os.PathLike[str]) -> Status | None:
    """The status of a job; None where there is none that can be read."""
    try:
        content = json.loads(RunFolder(folder).status_file.read_text(encoding="utf-8"))
        return Status(**{name: content[name] for name in Status.__dataclass_fields__ if name in content})
    except (OSError, ValueError, TypeError):
        return None


def cause_of(output: str) -> str | None:
    """Why a process failed: its error line, or the last line of its traceback, or its last line.

    Args:
        output: stdout and stderr of the process.
    """
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(HINTS)]
    start = max((n for n, line in enumerate(lines) if line.startswith("Traceback (most recent")), default=None)
    if start is not None:
        raised = [line for line in lines[start + 1 :] if re.match(r"[A-Za-z_][\w.]*(:|$)", line)]
        if raised:
            return one_line(raised[0])
    errors = [line for line in lines if line.startswith("error: ")]
    if errors:
        return one_line(errors[-1].removeprefix("error: "))
    return one_line(lines[-1]) if lines else None


def one_line(text: str) -> str:
    """Text without line breaks, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_CAUSE_LENGTH else f"{line[: MAX_CAUSE_LENGTH - 1]}…"
