"""What a data set hides: duplicates within and across splits, contradictory labels, blank images, imbalance."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fer.data.duplicates import blank, exact_groups, pairs_of_groups
from fer.data.near_duplicates import have_duplicate, photograph_groups
from fer.data.pack import Pack
from fer.data.splits import subjects_on_both_sides

SHARPNESS_IMAGES = 2000  # images of a split whose sharpness is measured
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
    (`fer.data.photographs` says how; at least so many). `test_in_train` is the number of test images that
    have a duplicate in training. A group is conflicting where its labels differ.
    """
    exact, near = exact_groups(pack.images), photograph_groups(pack)
    counts = pack.manifest["counts"]
    per_emotion = {e: sum(by.get(e, 0) for by in counts.values()) for by in counts.values() for e in by}
    numbers = {
        "images": len(pack),
        "exact": _group_numbers(exact, pack) | _across_splits(exact, pack),
        "near": _group_numbers(near, pack) | _across_splits(near, pack),
        "blank": int(blank(pack.images).sum()),
        "counts": counts,
        "largest_to_smallest_class": max(per_emotion.values()) / min(per_emotion.values()),
        "subjects_on_both_sides": subjects_on_both_sides(pack.subjects, pack.splits),
        "sharpness": {split: sharpness(pack.images[_some_rows(pack.splits == split)]) for split in counts},
    }
    return Audit(numbers, _most_telling(pairs_of_groups(near), pack))


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


def _across_splits(groups: np.ndarray, pack: Pack) -> dict[str, int]:
    """For each two splits: how many images of the first have a duplicate in the second."""
    rows = {split: np.flatnonzero(pack.splits == split) for split in ("train", "val", "test")}
    return {f"{a}_in_{b}": int(have_duplicate(groups, rows[a], rows[b]).sum()) for a, b in SPLIT_PAIRS}


def _most_telling(pairs: np.ndarray, pack: Pack) -> np.ndarray:
    across = pack.splits[pairs[:, 0]] != pack.splits[pairs[:, 1]]
    conflicting = pack.emotions[pairs[:, 0]] != pack.emotions[pairs[:, 1]]
    return pairs[np.argsort(-(2 * across + conflicting), kind="stable")][: int((across | conflicting).sum())]
