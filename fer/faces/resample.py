"""Faces to another size, and to grey, without Pillow and PyTorch, so that bundles run where they are not.

Squares and greys are Pillow's to the bit. Its versions filter a picture that is not square now by rows first, now by
columns, which moves a level where the filter overshoots; here rows are always first.
"""

from functools import lru_cache

import cv2
import numpy as np

BITS = 22  # of a weight's fraction, as in Pillow's Resample.c
BLOCK = 8  # output pixels of one matrix product
GREY = np.array([19595, 38470, 7471])  # ITU-R 601-2 weights of red, green, blue; their sum is 1 << 16


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """The central square, resized by an antialiased Lanczos filter: uint8 [size, size] or [size, size, 3].

    Args:
        picture: uint8 [H, W] or [H, W, 3].
        size: side of the result, pixels.
    """
    height, width = picture.shape[:2]
    if height == width == size:
        return picture
    side = min(height, width)
    narrow = _filtered(cv2.transpose(picture), (width - side) / 2, side, size)
    return _filtered(cv2.transpose(narrow), (height - side) / 2, side, size)


def as_input(faces: np.ndarray, size: int) -> np.ndarray:
    """What a network takes, float32 [N, C, size, size] in [0, 1], of square faces, uint8 [N, S, S] or [N, S, S, 3].

    As `fer.data.augment.resample` does it on a device: whole blocks are averaged, then levels are bilinear.
    """
    levels = faces.astype(np.float32) / np.float32(255)
    if (shrink := faces.shape[1] // size) >= 2:
        side = faces.shape[1] // shrink
        blocks = levels[:, : side * shrink, : side * shrink].reshape(len(faces), side, shrink, side, shrink, -1)
        levels = blocks.mean(axis=(2, 4)).reshape(len(faces), side, side, *faces.shape[3:])
    if levels.shape[1] != size:
        levels = np.stack([cv2.resize(face, (size, size), interpolation=cv2.INTER_LINEAR) for face in levels])
    return np.ascontiguousarray(levels[:, None] if levels.ndim == 3 else levels.transpose(0, 3, 1, 2))


def to_grey(picture: np.ndarray) -> np.ndarray:
    """Luma of uint8 [H, W, 3] (RGB): uint8 [H, W]."""
    return ((picture @ GREY + (1 << 15)) >> 16).astype(np.uint8)


def _filtered(lines: np.ndarray, start: float, side: float, size: int) -> np.ndarray:
    """Weighted sums of lines, uint8 [N, ...] -> [size, ...], rounded to whole levels as after each pass of Pillow's."""
    found = np.empty((size, *lines.shape[1:]), np.uint8)
    for row, (first, weights) in enumerate(_weights(len(lines), start, side, size)):
        block = lines[first : first + weights.shape[1]]
        sums = weights @ block.reshape(len(block), -1)  # whole numbers below 1 << 53, so exact
        levels = np.floor((sums + (1 << (BITS - 1))) / (1 << BITS)).clip(0, 255)
        found[row * BLOCK : row * BLOCK + len(weights)] = levels.reshape(-1, *lines.shape[1:])
    return found


@lru_cache(64)
def _weights(length: int, start: float, side: float, size: int) -> list[tuple[int, np.ndarray]]:
    """For each block of output pixels the first of its lines, and whole-numbered weights, float64 [BLOCK, lines]."""
    scale = side / size
    reach, stretch = 3 * max(scale, 1.0), max(scale, 1.0)
    centres = start + (np.arange(size) + 0.5) * scale
    first = np.maximum((centres - reach + 0.5).astype(int), 0)
    last = np.minimum((centres + reach + 0.5).astype(int), length)
    blocks = []
    for row in range(0, size, BLOCK):
        low, high = first[row], last[min(row + BLOCK, size) - 1]
        lines = np.arange(low, high)
        near = centres[row : row + BLOCK, None]
        distance = (lines - near + 0.5) / stretch
        weights = np.where(abs(distance) <= 3, np.sinc(distance) * np.sinc(distance / 3), 0.0)
        within = (lines >= first[row : row + BLOCK, None]) & (lines < last[row : row + BLOCK, None])
        weights = np.where(within, weights, 0.0)
        weights *= (1 << BITS) / weights.sum(axis=1, keepdims=True)
        blocks.append((int(low), np.trunc(weights + np.copysign(0.5, weights))))
    return blocks
