"""`status.json` of a job: what became of it, for whoever looks, while it runs and after."""

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fer.files import write_json

STATUS, LOG = "status.json", "output.log"
# waiting -> running -> finished, failed or stopped; skipped (never written) is finished before this sweep.
DONE = ("finished", "failed", "stopped", "skipped")
HINTS = ("Set the environment variable HYDRA_FULL_ERROR", "See https://", "Error executing job with overrides")
LONGEST_CAUSE = 400


@dataclass(frozen=True)
class Status:
    """What became of a job.

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

    def write(self, folder: Path) -> None:
        write_json(folder / STATUS, asdict(self))

    def but(self, **changes: Any) -> "Status":
        return replace(self, **changes)


def read_status(folder: Path) -> Status | None:
    """The status of a job; None where there is none that can be read."""
    try:
        content = json.loads((folder / STATUS).read_text(encoding="utf-8"))
        return Status(**{name: content[name] for name in Status.__dataclass_fields__ if name in content})
    except (OSError, ValueError, TypeError):
        return None


def cause_of(output: str) -> str | None:
    """What a failed process said last: its error line, or the last line of its traceback.

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
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_CAUSE else f"{line[: LONGEST_CAUSE - 1]}…"
