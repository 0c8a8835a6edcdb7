"""What a model has seen before it is tested: images of its own training, and twins of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer.data.duplicates import has_exact_duplicate, has_near_duplicate, signatures
from fer.data.pack import Pack


@dataclass(frozen=True)
class Seen:
    """What a model was trained and selected on."""

    pack: Pack
    train: np.ndarray  # rows, int [n]
    val: np.ndarray  # rows, int [m]

    def before(self, split: str) -> np.ndarray:
        """The rows that a model knows when it is asked about a split: validation does not count against itself."""
        return self.train if split == "val" else np.concatenate([self.train, self.val])


class TwinFinder:
    """Finds images of a pack that models know already.

    Args:
        pack: to evaluate on.
        seen: of all models that are asked; empty where that is unknown.
    """

    def __init__(self, pack: Pack, seen: Sequence[Seen]) -> None:
        self.pack, self.seen = pack, seen
        self._marks: np.ndarray | None = None

    def known(self, rows: np.ndarray, split: str) -> int:
        """How many of the very images at `rows` were trained (or selected) on."""
        known = np.zeros(len(rows), dtype=bool)
        for seen in self._here():
            known |= np.isin(rows, seen.before(split))
        return int(known.sum())

    def exact(self, rows: np.ndarray, split: str) -> np.ndarray | None:
        """Which images at `rows` have a twin, pixel by pixel, among those seen: bool [n]; None where unknown."""
        if not self.seen:
            return None
        found = np.zeros(len(rows), dtype=bool)
        for seen in self.seen:
            if seen.pack.images.shape[1:] == self.pack.images.shape[1:]:
                others = seen.before(split)
                found |= has_exact_duplicate(self.pack.images, rows, others, seen.pack.images)
        return found

    def near(self, rows: np.ndarray, split: str) -> np.ndarray | None:
        """The same for twins of the same photograph; None too where models were trained on another pack.

        The marks of photographs are relative to their data set (`fer.data.duplicates`).
        """
        here = self._here()
        if not self.seen or len(here) < len(self.seen):
            return None
        if self._marks is None:
            self._marks = signatures(self.pack.images)
        found = np.zeros(len(rows), dtype=bool)
        for seen in here:
            found |= has_near_duplicate(self._marks, rows, seen.before(split))
        return found

    def _here(self) -> list[Seen]:
        """What was seen of this very pack, wherever it lay."""
        return [
            seen
            for seen in self.seen
            if seen.pack is self.pack or seen.pack.manifest["sha256"] == self.pack.manifest["sha256"]
        ]
