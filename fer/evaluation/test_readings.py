"""A ledger of each pack: every time that a test split was scored, for a number looked at often is no longer a test."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fer.data.pack import READINGS
from fer.errors import RunError
from fer.evaluation.identity import code_facts
from fer.runs.folder import RunFolder
from fer.runs.tables import read_rows, write_rows

log = logging.getLogger(__name__)

COLUMNS = ("when", "run", "commit", "settings", "split", "accuracy")
SAME_READING = ("run", "settings", "split")  # of a run that is resumed
PATIENCE = 30  # seconds to wait for another run that writes its line
# What changes neither the model nor what is tested: its place, and the seed
NOT_SETTINGS = ("seed", "resume", "hydra", "logger", "figures", "sweep", "experiment", "lr_find", "folds", "choices")
NOT_SETTINGS_OF_DATA = ("root", "source", "residency", "seed", "eval_batch_size", "fold")


@dataclass(frozen=True)
class Readings:
    """How often a test split was scored, this time included."""

    times: int
    configurations: int  # different ones among them, seeds apart

    def metrics(self, split: str) -> dict[str, int]:
        """By the names of `metrics.json`."""
        return {f"{split}/readings": self.times, f"{split}/configurations_read": self.configurations}


def note_test_reading(
    pack: Path, run: Path | str, settings: Mapping[str, Any], split: str, accuracy: float | None, resumed: bool = False
) -> Readings | None:
    """Add a line to the ledger of a pack.

    Args:
        pack: its folder.
        run: what was scored.
        settings: plain values that tell configurations apart; see `settings_of`.
        split: in words, such as `test` or `test of fold 3`.
        accuracy: in [0, 1].
        resumed: whether the run was stopped before it was finished: a line of it, if there is one, is this reading.

    Returns:
        How often this split was scored; None where the ledger cannot be written, which is logged.
    """
    file = pack / READINGS
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:12]
    code = code_facts()
    row = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": str(run),
        "commit": f"{code['commit'] or 'unknown'}{'+changes' if code['dirty'] else ''}",
        "settings": digest,
        "split": split,
        "accuracy": "" if accuracy is None else f"{accuracy:.6g}",
    }
    try:
        with RunFolder(pack).only_writer("another run", timeout=PATIENCE):
            rows = read_rows(file) if file.exists() else []
            if resumed:
                rows = [earlier for earlier in rows if any(earlier.get(key) != row[key] for key in SAME_READING)]
            rows.append(row)
            write_rows(file, COLUMNS, rows)
    except (OSError, ValueError, RunError) as error:
        log.warning("this reading of the test split is not noted: %s: %s", file, getattr(error, "strerror", error))
        return None
    alike = [earlier["settings"] for earlier in rows if earlier.get("split") == split]
    return Readings(len(alike), len(set(alike)))


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's config makes another model or another test."""
    parts = {key: value for key, value in config.items() if key not in NOT_SETTINGS}
    for name, part in parts.items():
        if isinstance(part, Mapping):
            left_out = NOT_SETTINGS_OF_DATA if name == "data" else ("seed",)
            parts[name] = {key: value for key, value in part.items() if key not in left_out}
    return parts


def split_in_words(split: str, fold: int | None) -> str:
    """`test`, or `test of fold 3`."""
    return split if fold is None else f"{split} of fold {fold}"
