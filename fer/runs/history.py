"""`history.csv` of a run folder: a row per epoch with what was logged of it."""

import csv
from collections.abc import Mapping
from pathlib import Path

from fer.files import replacing

HISTORY = "history.csv"


class History:
    """Numbers by epoch, kept on disk, so that a resumed run goes on with those of the part before.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / HISTORY
        self.epochs = read_history(folder)

    def add(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Note what is known of an epoch; what was noted of it before stays unless it is given again."""
        self.epochs = {earlier: known for earlier, known in self.epochs.items() if earlier <= epoch}
        self.epochs.setdefault(epoch, {}).update(numbers)
        names = list(dict.fromkeys(name for known in self.epochs.values() for name in known))
        with replacing(self.path) as file:
            writer = csv.DictWriter(file, ["epoch", *names], restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows({"epoch": number, **known} for number, known in sorted(self.epochs.items()))


def read_history(folder: Path) -> dict[int, dict[str, float]]:
    """Numbers by epoch and name; empty where nothing was noted."""
    path = folder / HISTORY
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {
            int(row.pop("epoch")): {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        }
