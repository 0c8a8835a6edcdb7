"""What a data set hides: duplicates within and across splits, contradictory labels, blank images, imbalance."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fer.data.duplicates import SIMILARITY, blank, exact_groups, groups_of_pairs, near_pairs, signatures
from fer.data.pack import Pack
from fer.data.splits import subjects_on_both_sides

SHARPNESS_IMAGES = 2000  # images of a split whose sharpness is measured
MAX_PAIRS = 20_000  # pairs of which a sheet is drawn
SHARPNESS_RATIO = 2.0  # of two splits; beyond it they do not show the same kind of pictures
SPLIT_PAIRS = (("val", "train"), ("test", "train"), ("test", "val"))


@dataclass(frozen=True)
class Audit:
    """The numbers of `audit.json`, and pairs of rows for the sheet of duplicates."""

    numbers: dict[str, Any]
    pairs: np.ndarray  # int64 [P, 2]: those across splits first, then those with different labels


def audit_pack(pack: Pack) -> Audit:
    """Count the duplicates of a pack, its blank images, people in several splits, and the sharpness of splits.

    `exact` counts images with the same pixels; `near` images of the same photograph, the exact ones included
    (`fer.data.duplicates` says how, and how many it misses). `test_in_train` is the number of test images that
    have a duplicate in training. A group is conflicting where its labels differ.
    """
    exact = exact_groups(pack.images)
    near = _NearDuplicates(pack, exact)
    exact_across = near.across_splits()
    for pairs in near_pairs(signatures(pack.images)):
        near.add(pairs)
    counts = pack.manifest["counts"]
    per_emotion = {e: sum(by.get(e, 0) for by in counts.values()) for by in counts.values() for e in by}
    numbers = {
        "images": len(pack),
        "exact": _group_numbers(exact, pack) | exact_across,
        "near": _group_numbers(near.groups, pack) | near.across_splits(),
        "near_similarity": SIMILARITY,
        "blank": int(blank(pack.images).sum()),
        "counts": counts,
        "largest_to_smallest_class": max(per_emotion.values()) / min(per_emotion.values()),
        "subjects_on_both_sides": subjects_on_both_sides(pack.subjects, pack.splits),
        "sharpness": {split: sharpness(pack.images[_some_rows(pack.splits == split)]) for split in counts},
    }
    return Audit(numbers, _most_telling(near.shown, pack))


def sharpness(images: np.ndarray) -> float:
    """Median over images of the mean difference of neighbouring pixels, in grey levels.

    Splits of one data set should not differ in it: a network that learns from blurred faces fails on sharp ones.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3].
    """
    steps = np.abs(np.diff(images.astype(np.int16), axis=2))
    return float(np.median(steps.reshape(len(images), -1).mean(axis=1)))


def _some_rows(chosen: np.ndarray) -> np.ndarray:
    """At most SHARPNESS_IMAGES rows, evenly spaced, of those chosen, bool [N]."""
    rows = np.flatnonzero(chosen)
    return rows[:: -(-len(rows) // SHARPNESS_IMAGES)]


def _pairs_of_groups(groups: np.ndarray) -> np.ndarray:
    """The first image of each group with each other: int64 [P, 2]."""
    _, first, of = np.unique(groups, return_index=True, return_inverse=True)
    heads = first[of]
    others = np.flatnonzero(heads != np.arange(len(groups)))
    return np.stack([heads[others], others], axis=1)


def _group_numbers(groups: np.ndarray, pack: Pack) -> dict[str, int]:
    _, of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    several = sizes > 1
    labels = np.unique(np.stack([of, np.unique(pack.emotions, return_inverse=True)[1]], axis=1), axis=0)
    conflicting = np.bincount(labels[:, 0], minlength=len(sizes)) > 1
    return {
        "groups": int(several.sum()),
        "images": int(sizes[several].sum()),
        "conflicting_groups": int((several & conflicting).sum()),
    }


class _NearDuplicates:
    """Takes pairs of near duplicates, some at a time: there may be as many as the square of a recording's images."""

    def __init__(self, pack: Pack, exact: np.ndarray) -> None:
        self.pack = pack
        pairs = _pairs_of_groups(exact)
        self.groups = groups_of_pairs(pairs, len(pack))  # int64 [N]
        self.shown = np.empty((0, 2), dtype=np.int64)  # pairs for the sheet
        in_splits = {split: np.unique(exact[pack.splits == split]) for split in ("train", "val", "test")}
        self.duplicated = {
            (split, other): (pack.splits == split) & np.isin(exact, in_splits[other]) for split, other in SPLIT_PAIRS
        }
        self._show(pairs)

    def add(self, pairs: np.ndarray) -> None:
        """Pairs of rows, int64 [P, 2], the smaller first, each once."""
        tied = np.stack([np.arange(len(self.pack)), self.groups], axis=1)
        self.groups = groups_of_pairs(np.concatenate([tied, pairs]), len(self.pack))
        splits = self.pack.splits[pairs]
        for (split, other), duplicated in self.duplicated.items():
            for left, right in ((0, 1), (1, 0)):
                crossing = (splits[:, left] == split) & (splits[:, right] == other)
                duplicated[pairs[crossing, left]] = True
        self._show(pairs)

    def across_splits(self) -> dict[str, int]:
        """For each two splits: how many images of the first have a duplicate in the second."""
        return {f"{split}_in_{other}": int(found.sum()) for (split, other), found in self.duplicated.items()}

    def _show(self, pairs: np.ndarray) -> None:
        found = _most_telling(pairs, self.pack)
        found = found[:: -(-len(found) // MAX_PAIRS) or 1]
        self.shown = np.unique(np.concatenate([self.shown, found]), axis=0)
        self.shown = self.shown[:: -(-len(self.shown) // MAX_PAIRS) or 1]


def _most_telling(pairs: np.ndarray, pack: Pack) -> np.ndarray:
    across = pack.splits[pairs[:, 0]] != pack.splits[pairs[:, 1]]
    conflicting = pack.emotions[pairs[:, 0]] != pack.emotions[pairs[:, 1]]
    return pairs[np.argsort(-(2 * across + conflicting), kind="stable")][: int((across | conflicting).sum())]
