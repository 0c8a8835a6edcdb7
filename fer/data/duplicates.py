"""Images that a data set holds more than once: the same pixels, or the same photograph.

Near duplicates are found by the signs of the 80 lowest cosine coefficients of the image (9 x 9 without the mean; the
perceptual hash of Zauner 2010, finer), each taken against its median over the data set, so that what all faces share
says nothing. Two images are near duplicates where at least 72 of 80 signs agree (similarity 0.8). Why there: between
different people of CK+ (aligned faces, the hardest case) the nearest of 981 images reaches 0.75 at most, and on
FER2013 the similarities of test images to their nearest training image have two peaks, with a minimum between them at
0.65 to 0.70.
Found at 0.8, of 898 FER2013 images changed by us: blurred (sigma 1.5 pixels), darkened or compressed (JPEG 30) 99.8 %
and more; enlarged by 5 % 33 %; shifted by a pixel each way 12 %; enlarged by 10 % or mirrored none. So the counts are
lower bounds for photographs; drawn faces, of which there are few kinds, resemble each other more than people do.
"""

import hashlib
from collections.abc import Iterator

import numpy as np

COEFFICIENTS = 9  # of each side
SIMILARITY = 0.8  # from -1 to 1: twice the share of equal signs, less one
BLANK_STD = 1.0  # grey levels; such an image has exact duplicates only
BLOCK_SIZE = 4096  # images compared at a time


def exact_groups(images: np.ndarray) -> np.ndarray:
    """A number for each image, the same for images with the same pixels: int64 [N]."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(_digest(image), len(seen)) for image in images], dtype=np.int64)


def blank(images: np.ndarray) -> np.ndarray:
    """Which images show nothing: bool [N]."""
    return np.concatenate([part.reshape(len(part), -1).std(axis=1) < BLANK_STD for _, part in _parts(images)])


def signatures(images: np.ndarray) -> np.ndarray:
    """Signs of low frequencies, scaled to unit length; all zero for blank images.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3].

    Returns:
        float32 [N, 80]; the product of two is their similarity.
    """
    height, width = images.shape[1:3]
    down, across = _cosines(height), _cosines(width)
    found = np.empty((len(images), COEFFICIENTS**2 - 1), dtype=np.float32)
    for start, part in _parts(images):
        grey = part.astype(np.float32) if part.ndim == 3 else part.mean(axis=3, dtype=np.float32)
        found[start : start + len(part)] = (down @ grey @ across.T).reshape(len(part), -1)[:, 1:]
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
    signs = np.where(found >= np.median(found, axis=0), 1.0, -1.0).astype(np.float32)
    signs[blank(images)] = 0
    return signs / np.float32(np.sqrt(signs.shape[1]))


def near_pairs(marks: np.ndarray, similarity: float = SIMILARITY) -> Iterator[np.ndarray]:
    """All pairs of images at least so similar, the smaller row first: int64 [P, 2], some at a time.

    Args:
        marks: of `signatures`, float32 [N, D].
        similarity: the least that counts.
    """
    for start in range(0, len(marks), BLOCK_SIZE):
        for other in range(start, len(marks), BLOCK_SIZE):
            left, right = np.nonzero(
                marks[start : start + BLOCK_SIZE] @ marks[other : other + BLOCK_SIZE].T >= similarity - 1e-4
            )
            ahead = left + start < right + other
            yield np.stack([left[ahead] + start, right[ahead] + other], axis=1)


def has_near_duplicate(marks: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the images at `rows` have a near duplicate at `others`: bool [len(rows)]."""
    found = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(rows), BLOCK_SIZE):
        for other in range(0, len(others), BLOCK_SIZE):
            close = marks[rows[start : start + BLOCK_SIZE]] @ marks[others[other : other + BLOCK_SIZE]].T
            found[start : start + BLOCK_SIZE] |= (close >= SIMILARITY - 1e-4).any(axis=1)
    return found


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


def _cosines(size: int) -> np.ndarray:
    """The lowest cosines over a side: float32 [9, size]."""
    position = (np.arange(size) + 0.5) / size
    return np.cos(np.pi * np.arange(COEFFICIENTS)[:, None] * position).astype(np.float32)
