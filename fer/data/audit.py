"""What a data set hides: duplicates within and across splits, contradictory labels, blank images, imbalance."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fer.data.pack import Pack
from fer.data.sharpness import evenly
from fer.data.twins import SIMILARITY, blank, exact_groups, groups_of_pairs, near_pairs, signatures

LOOKED_AT = 2000  # images of a split whose sharpness is measured
UNLIKE = 2.0  # times sharper than another split: not the same kind of pictures
CROSSINGS = (("val", "train"), ("test", "train"), ("test", "val"))


@dataclass(frozen=True)
class Audit:
    """The numbers of `audit.json`, and pairs of rows worth looking at."""

    numbers: dict[str, Any]
    pairs: np.ndarray  # int64 [P, 2]: twins in different splits first, then twins with different labels


def audit_pack(pack: Pack) -> Audit:
    """Look a pack over.

    `exact` counts images with the same pixels; `near` images of the same photograph, the exact ones included
    (`fer.data.twins` says how, and how many it misses). `test_in_train` is the number of test images that have a
    twin in training. A group is conflicting where its labels differ.
    """
    exact = exact_groups(pack.images)
    pairs = np.unique(np.concatenate([_pairs_of_groups(exact), near_pairs(signatures(pack.images))]), axis=0)
    near = groups_of_pairs(pairs, len(pack))
    counts = pack.manifest["counts"]
    per_emotion = {e: sum(by.get(e, 0) for by in counts.values()) for by in counts.values() for e in by}
    numbers = {
        "images": len(pack),
        "exact": _group_numbers(exact, pack) | _crossings(_pairs_of_groups(exact), exact, pack),
        "near": _group_numbers(near, pack) | _crossings(pairs, exact, pack),
        "near_similarity": SIMILARITY,
        "blank": int(blank(pack.images).sum()),
        "counts": counts,
        "largest_to_smallest_class": max(per_emotion.values()) / min(per_emotion.values()),
        "subjects_on_both_sides": _shared_subjects(pack),
        "sharpness": {split: sharpness(pack.images[evenly(pack.splits == split, LOOKED_AT)]) for split in counts},
    }
    return Audit(numbers, _worth_a_look(pairs, pack))


def sharpness(images: np.ndarray) -> float:
    """Median over images of the mean difference of neighbouring pixels, in grey levels.

    Splits of one data set should not differ in it: a network that learns from blurred faces fails on sharp ones.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3].
    """
    steps = np.abs(np.diff(images.astype(np.int16), axis=2))
    return float(np.median(steps.reshape(len(images), -1).mean(axis=1)))


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


def _crossings(pairs: np.ndarray, exact: np.ndarray, pack: Pack) -> dict[str, int]:
    """For each two splits the images of the first with a twin in the second."""
    in_splits = {s: set(exact[pack.splits == s].tolist()) for s in ("train", "val", "test")}
    result = {}
    for split, other in CROSSINGS:
        twinned = {int(row) for row in np.flatnonzero(pack.splits == split) if int(exact[row]) in in_splits[other]}
        for left, right in ((0, 1), (1, 0)):
            crossing = (pack.splits[pairs[:, left]] == split) & (pack.splits[pairs[:, right]] == other)
            twinned |= set(pairs[crossing, left].tolist())
        result[f"{split}_in_{other}"] = len(twinned)
    return result


def _shared_subjects(pack: Pack) -> int:
    known = pack.subjects != ""
    people = np.unique(np.stack([pack.subjects[known], pack.splits[known]], axis=1), axis=0)
    return int((np.unique(people[:, 0], return_counts=True)[1] > 1).sum())


def _worth_a_look(pairs: np.ndarray, pack: Pack) -> np.ndarray:
    across = pack.splits[pairs[:, 0]] != pack.splits[pairs[:, 1]]
    conflicting = pack.emotions[pairs[:, 0]] != pack.emotions[pairs[:, 1]]
    return pairs[np.argsort(-(2 * across + conflicting), kind="stable")][: int((across | conflicting).sum())]
