"""Images that a data set holds more than once, pixel by pixel, and blank ones; `photographs` finds the others."""

import hashlib
from collections.abc import Iterator

import numpy as np

BLANK_STD = 1.0  # grey levels; such an image has exact duplicates only


def exact_groups(images: np.ndarray) -> np.ndarray:
    """A number for each image, the same for images with the same pixels: int64 [N]."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(_digest(image), len(seen)) for image in images], dtype=np.int64)


def blank(images: np.ndarray) -> np.ndarray:
    """Which images show nothing: bool [N]."""
    return np.concatenate([part.reshape(len(part), -1).std(axis=1) < BLANK_STD for _, part in _parts(images)])


def has_exact_duplicate(
    images: np.ndarray, rows: np.ndarray, others: np.ndarray, elsewhere: np.ndarray | None = None
) -> np.ndarray:
    """Which of the images at `rows` have a duplicate, pixel by pixel, at `others`: bool [len(rows)].

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3].
        rows: the images in question.
        others: where duplicates are looked for.
        elsewhere: the images that `others` belongs to, where they are not the same.
    """
    known = {_digest((images if elsewhere is None else elsewhere)[row]) for row in others}
    return np.array([_digest(images[row]) in known for row in rows], dtype=bool)


def pairs_of_groups(groups: np.ndarray) -> np.ndarray:
    """The first image of each group with each other one: int64 [P, 2]."""
    _, first, of = np.unique(groups, return_index=True, return_inverse=True)
    heads = first[of]
    others = np.flatnonzero(heads != np.arange(len(groups)))
    return np.stack([heads[others], others], axis=1)


def groups_of_pairs(pairs: np.ndarray, count: int) -> np.ndarray:
    """A number for each of `count` images, the same for all that a chain of pairs connects: int64 [count]."""
    group = np.arange(count)
    while len(pairs):
        lowest = np.minimum(group[pairs[:, 0]], group[pairs[:, 1]])
        before = group.copy()
        for side in (0, 1):
            np.minimum.at(group, pairs[:, side], lowest)
            np.minimum.at(group, before[pairs[:, side]], lowest)
        group = group[group]
        if np.array_equal(group, before):
            break
    return group


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _parts(images: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """A memory-mapped array, some images at a time."""
    for start in range(0, len(images), 1024):
        yield start, np.asarray(images[start : start + 1024])
