"""Leakage: images of the evaluated split that a model was trained or selected on, and their duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fer.data.duplicates import has_exact_duplicate
from fer.data.near_duplicates import have_duplicate, photograph_groups
from fer.data.pack import Pack


@dataclass(frozen=True)
class TrainingImages:
    """The images that a model was trained and selected on."""

    pack: Pack
    train: np.ndarray  # rows, int [n]
    val: np.ndarray  # rows, int [m]

    def known_before(self, split: str) -> np.ndarray:
        """Rows that leak into a split: training and validation; into validation itself, training alone."""
        return self.train if split == "val" else np.concatenate([self.train, self.val])


class LeakageChecker:
    """Finds the images of a pack that models know from training.

    Args:
        pack: to evaluate on.
        training: of all models; empty where it is unknown.
    """

    def __init__(self, pack: Pack, training: Sequence[TrainingImages]) -> None:
        self.pack, self.training = pack, training

    def trained_on(self, rows: np.ndarray, split: str) -> int | None:
        """How many of the images at `rows` were themselves trained (or selected) on; None where unknown."""
        if not self.training:
            return None
        known = np.zeros(len(rows), dtype=bool)
        for training in self._of_this_pack():
            known |= np.isin(rows, training.known_before(split))
        return int(known.sum())

    def duplicates(self, rows: np.ndarray, split: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Which images at `rows` equal a known one pixel by pixel, and which show its photograph: bool [n] each.

        Exact duplicates are near ones too. Both are None where training is unknown; near ones also where a model was
        trained on another pack, for photographs are looked for within a pack (`fer.data.near_duplicates`).
        """
        if not self.training:
            return None, None
        exact = np.zeros(len(rows), dtype=bool)
        for training in self.training:
            if training.pack.images.shape[1:] == self.pack.images.shape[1:]:
                others = training.known_before(split)
                exact |= has_exact_duplicate(self.pack.images, rows, others, training.pack.images)
        own = self._of_this_pack()
        if len(own) < len(self.training):
            return exact, None
        near = exact.copy()
        for training in own:
            near |= have_duplicate(self.photographs, rows, training.known_before(split))
        return exact, near

    @cached_property
    def photographs(self) -> np.ndarray:
        """Which images of the pack show the same photograph, int64 [N]."""
        return photograph_groups(self.pack)

    def _of_this_pack(self) -> list[TrainingImages]:
        """Training on this very pack, wherever it was stored."""
        return [
            training
            for training in self.training
            if training.pack is self.pack or training.pack.manifest["sha256"] == self.pack.manifest["sha256"]
        ]
