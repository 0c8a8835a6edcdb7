"""The same photograph again: another crop, size, brightness or compression of it, turned a little, or mirrored.

First, candidates: magnitudes of the lowest 7 Fourier coefficients of each side under a window, which shifting and
mirroring hardly change, each against what is usual in the data set (whitened). They are compared for the image as it
is, enlarged and turned; no image is resampled for that, the waves are. Second, candidates are verified: the same
coefficients, now with their phases, say by which shift, zoom, rotation and mirroring one image becomes the other
(cross-correlation; Reddy & Chatterji 1996, An FFT-based technique for translation, rotation, and scale-invariant image
registration). Third, the images, moved by that, must agree in what is finer than the shape of a face: a correlation of
at least 0.87 after a band-pass.

`docs/data.md` has what that finds and what it misses: counts are lower bounds.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from fer.data.duplicates import blank, groups_of_pairs

SIDE = 48  # pixels; all images are compared in this size
HIGHEST = 7  # waves in a side
VARIANTS = ((1.0, 0.0), (1.07, 0.0), (1 / 1.07, 0.0), (1.0, 3.5), (1.0, -3.5))  # zoom and degrees of candidates
LIKENESS = (0.56, 0.61, 0.61, 0.61, 0.61)  # of candidates, for each; 1 in 5,000 pairs of different photographs
FINER = ((1.0, 0.0), (1.05, 0.0), (1.1, 0.0), (1 / 1.05, 0.0), (1 / 1.1, 0.0),
         (1.0, 2.5), (1.0, 5.0), (1.0, -2.5), (1.0, -5.0))  # fmt: skip
LEAST_SCORE, LEAST_FINER_SCORE = 0.72, 0.8  # of phases, before and after a closer look
LEAST_CORRELATION = 0.87
ALMOST = 0.7  # a correlation that a finer alignment may raise enough
USUAL_VARIANCE = 0.25  # of a logarithm of a magnitude, over photographs
COMMON = 2.0  # a mark of its own that all images have: where all are alike nothing else is left
MOST = 8  # candidates of an image among others: where many are alike, a few connect them
BLOCK = 2048
STEPS = np.array([(dx, dy) for dx in range(-5, 6) for dy in range(-5, 6)])  # shifts, pixels
WAVES = np.array([(u, v) for v in range(-HIGHEST, HIGHEST + 1) for u in range(HIGHEST + 1)])
USED = (WAVES[:, 0] > 0) | ((WAVES[:, 0] == 0) & (WAVES[:, 1] > 0))  # the others are their conjugates
MIRRORED = np.array([WAVES.tolist().index([u, -v]) for u, v in WAVES.tolist()])
TURNS = np.exp(2j * np.pi * (WAVES[USED] @ STEPS.T) / SIDE).astype(np.complex64)  # of phases by shifts


@dataclass
class Alignment:
    """How images become others: zoom, degrees, shift in pixels, mirrored or not; row i of P pairs."""

    score: np.ndarray  # of the phases, float [P]
    values: np.ndarray  # float [P, 5]


class Photographs:
    """Finds duplicates among images.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3].
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = images
        self.blank = blank(images)
        self._coefficients = np.concatenate([_waves(faces, *VARIANTS[0]) for faces in self._parts()])
        strength = np.sqrt((np.abs(self._coefficients) ** 2).mean(axis=0))
        self._weights = 1 / (strength + 0.1 * strength.mean())
        marks = _magnitudes(self._coefficients)
        self._mean = marks.mean(axis=0)
        scale, directions = np.linalg.eigh(np.cov((marks - self._mean).T))
        scale = np.maximum(scale, 0)
        self._whiten = (directions / np.sqrt(scale + 0.3 * max(scale.mean(), USUAL_VARIANCE))).astype(np.float32)
        self._marks = [self._whitened(marks)]
        for variant in VARIANTS[1:]:
            self._marks.append(
                np.concatenate([self._whitened(_magnitudes(_waves(faces, *variant))) for faces in self._parts()])
            )

    def groups(self, linked: np.ndarray, splits: np.ndarray) -> np.ndarray:
        """A number for each image, the same for those that chains of duplicates connect: int64 [N].

        Each image is linked to a few others of each split, so that time and memory do not grow with the square of a
        recording's frames.

        Args:
            linked: pairs known before, int64 [P, 2].
            splits: str [N].
        """
        found = [linked]
        rows_of = [np.flatnonzero((splits == split) & ~self.blank) for split in np.unique(splits)]
        for number, rows in enumerate(rows_of):
            for others in rows_of[number:]:
                found += self.pairs(rows, others)
        return groups_of_pairs(np.concatenate(found), len(self.images))

    def pairs(self, rows: np.ndarray, others: np.ndarray) -> Iterator[np.ndarray]:
        """Pairs of duplicates, a row and another one each, of which no other pair is the reverse: int64 [P, 2].

        Of each row at most `MOST` pairs are given in each variant.
        """
        for start in range(0, len(rows), BLOCK):
            candidates = self._candidates(rows[start : start + BLOCK], others)
            for some in np.array_split(candidates, -(-len(candidates) // BLOCK) or 1):
                yield some[self.verified(some), :2]

    def verified(self, pairs: np.ndarray) -> np.ndarray:
        """Which pairs show the same photograph: bool [P].

        Args:
            pairs: rows and others, int64 [P, 3], with the number of the variant in which they are alike.
        """
        same = np.zeros(len(pairs), dtype=bool)
        if not len(pairs):
            return same
        left, right = self._faces(pairs[:, 0]), self._faces(pairs[:, 1])
        target = self._weighed(self._coefficients[pairs[:, 1]])
        best = Alignment(np.full(len(pairs), -1.0), np.zeros((len(pairs), 5)))
        for number, (zoom, degrees) in enumerate(VARIANTS):
            of = np.flatnonzero(pairs[:, 2] == number)
            for mirror in (False, True):
                self._improve(best, of, left, target, (zoom, degrees, mirror))
        close = np.flatnonzero(best.score >= LEAST_SCORE)
        for zoom, degrees in FINER:
            for mirror in (False, True):
                of = close[best.values[close, 4] == mirror]
                self._improve(best, of, left, target, (zoom, degrees, mirror))
        for row in close[best.score[close] >= LEAST_FINER_SCORE].tolist():
            same[row] = _correlation(left[row], right[row], best.values[row]) >= LEAST_CORRELATION
        return same

    def _improve(
        self, best: Alignment, of: np.ndarray, left: np.ndarray, target: np.ndarray, by: tuple[float, float, bool]
    ) -> None:
        """Keep this zoom, rotation and mirroring for those pairs whose phases it makes agree better."""
        if not len(of):
            return
        zoom, degrees, mirror = by
        waves = _waves(left[of], zoom, -degrees if mirror else degrees)
        source = self._weighed(waves[:, MIRRORED].conj() if mirror else waves)
        product = source.conj() * target[of]
        agreement = product.real @ TURNS.real - product.imag @ TURNS.imag
        shift = agreement.argmax(axis=1)
        score = agreement[np.arange(len(of)), shift]
        better = score > best.score[of]
        best.score[of[better]] = score[better]
        facts = np.tile([zoom, degrees, 0, 0, mirror], (int(better.sum()), 1))
        facts[:, 2:4] = STEPS[shift[better]]
        best.values[of[better]] = facts

    def _candidates(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Pairs whose magnitudes are alike, at most `MOST` of a row in each variant: int64 [P, 3].

        Where rows and others overlap, only pairs with a later other.
        """
        within = bool(np.isin(rows, others).any())
        found, full = [], np.zeros(len(self.images), dtype=bool)
        for number, least in enumerate(LIKENESS):
            asked = rows[~full[rows]]
            best = _Best(asked, within)
            for start in range(0, len(others), 2 * BLOCK):
                columns = others[start : start + 2 * BLOCK]
                if not len(asked) or (within and columns[-1] <= asked[0]):
                    continue
                best.add(self._marks[number][asked] @ self._marks[0][columns].T, columns, least)
            full[best.full(0.8)] = True  # enough of them, which zooming would hardly add to
            found.append(np.column_stack([best.pairs(), np.full(len(best.pairs()), number)]))
        pairs = np.concatenate(found)
        _, first = np.unique(pairs[:, 0] * len(self.images) + pairs[:, 1], return_index=True)
        return pairs[first]

    def _whitened(self, marks: np.ndarray) -> np.ndarray:
        found = np.pad((marks - self._mean) @ self._whiten, ((0, 0), (0, 1)), constant_values=COMMON)
        return (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)).astype(np.float32)

    def _weighed(self, waves: np.ndarray) -> np.ndarray:
        found = (waves * self._weights)[:, USED]
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def _parts(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.images), BLOCK):
            yield self._faces(np.arange(start, min(start + BLOCK, len(self.images))))

    def _faces(self, rows: np.ndarray) -> np.ndarray:
        """Grey images of one size, of mean 0 and spread 1, float32 [n, SIDE, SIDE]."""
        images = np.asarray(self.images[rows])
        grey = images.astype(np.float32) if images.ndim == 3 else images.mean(axis=3, dtype=np.float32)
        if grey.shape[1:] != (SIDE, SIDE):
            grey = np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in grey])
        grey -= grey.mean(axis=(1, 2), keepdims=True)
        grey /= np.maximum(np.sqrt((grey**2).mean(axis=(1, 2), keepdims=True)), 1e-3)
        return grey


class _Best:
    """The most alike others of each row, some at a time."""

    def __init__(self, rows: np.ndarray, within: bool) -> None:
        self.rows, self.within = rows, within
        self.likeness = np.full((len(rows), MOST), -1.0, dtype=np.float32)
        self.others = np.full((len(rows), MOST), -1, dtype=np.int64)

    def add(self, likeness: np.ndarray, columns: np.ndarray, least: float) -> None:
        """Those of a block, float32 [rows, columns], that reach the least."""
        if self.within:
            likeness[self.rows[:, None] >= columns[None]] = -1
        hit = likeness >= least
        for row in np.flatnonzero(hit.any(axis=1)):
            places = np.flatnonzero(hit[row])
            values = np.concatenate([self.likeness[row], likeness[row, places]])
            others = np.concatenate([self.others[row], columns[places]])
            kept = np.argpartition(-values, MOST - 1)[:MOST]
            self.likeness[row], self.others[row] = values[kept], others[kept]

    def full(self, least: float) -> np.ndarray:
        """Rows all of whose places hold others so alike."""
        return self.rows[(self.likeness >= least).all(axis=1)]

    def pairs(self) -> np.ndarray:
        row, place = np.nonzero(self.others >= 0)
        return np.stack([self.rows[row], self.others[row, place]], axis=1)


@cache
def _basis(zoom: float, degrees: float) -> np.ndarray:
    """What gives the waves of an image, enlarged and turned about its middle: float32 [SIDE * SIDE, 2 * waves]."""
    place = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    down, across = np.meshgrid(place, place, indexing="ij")
    turn = _matrix(zoom, degrees)
    x, y = turn[0, 0] * across + turn[0, 1] * down, turn[1, 0] * across + turn[1, 1] * down
    window = np.where((abs(x) < 0.5) & (abs(y) < 0.5), np.cos(np.pi * x) ** 2 * np.cos(np.pi * y) ** 2, 0)
    phase = 2 * np.pi * (x[..., None] * WAVES[:, 0] + y[..., None] * WAVES[:, 1])
    both = np.concatenate([window[..., None] * np.cos(phase), -window[..., None] * np.sin(phase)], axis=-1)
    return both.reshape(SIDE * SIDE, -1).astype(np.float32)


def _matrix(zoom: float, degrees: float) -> np.ndarray:
    """Where a place of the image goes, float [2, 2]."""
    cosine, sine = zoom * math.cos(math.radians(degrees)), zoom * math.sin(math.radians(degrees))
    return np.array([[cosine, -sine], [sine, cosine]])


def _waves(faces: np.ndarray, zoom: float, degrees: float) -> np.ndarray:
    """Low Fourier coefficients of images, complex64 [n, waves]."""
    both = faces.reshape(len(faces), -1) @ _basis(zoom, degrees)
    return (both[:, : len(WAVES)] + 1j * both[:, len(WAVES) :]).astype(np.complex64)


def _magnitudes(waves: np.ndarray) -> np.ndarray:
    """What shifting and mirroring hardly change, float32 [n, D]."""
    size = np.abs(waves).reshape(len(waves), 2 * HIGHEST + 1, HIGHEST + 1)
    return np.log((size + size[:, ::-1])[:, HIGHEST:] + 2).reshape(len(waves), -1)[:, 1:].astype(np.float32)


def _band(face: np.ndarray) -> np.ndarray:
    """An image without noise and without the light and shape that all faces share, float32 [SIDE, SIDE]."""
    return cv2.GaussianBlur(face, (0, 0), 1.0) - cv2.GaussianBlur(face, (0, 0), 4.0)


def _correlation(one: np.ndarray, other: np.ndarray, values: np.ndarray) -> float:
    """Of the second image and the first one moved by these values; where they almost agree, with more care.

    Then finer values are tried, and what lies outside either image (such as black borders) is kept out of the filter.
    """
    bands = _band(one), _band(other)
    best = _agreement(*_moved(bands[0], values), bands[1])
    if not ALMOST <= best < LEAST_CORRELATION:
        return best
    for step in ((0, 0, 0.5, 0, 0), (0, 0, 0, 0.5, 0), (0.02, 0, 0, 0, 0), (0, 1.2, 0, 0, 0)):
        for sign in (1, -1):
            changed = values + sign * np.array(step)
            found = _agreement(*_moved(bands[0], changed), bands[1])
            if found > best:
                best, values = found, changed
                break
    if best >= LEAST_CORRELATION:
        return best
    moved, inside = _moved(one, values)
    return max(best, _agreement(_band_within(moved, inside), inside, _band_within(other, inside)))


def _moved(source: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image moved by zoom, degrees, shift and mirroring, and where it is known, bool [SIDE, SIDE]."""
    zoom, degrees, dx, dy, mirror = values
    back = np.linalg.inv(_matrix(zoom, degrees))
    middle = np.full(2, (SIDE - 1) / 2)
    move = np.column_stack([back, middle - back @ (middle + np.array([dx, dy]))]).astype(np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(np.ascontiguousarray(source[:, ::-1]) if mirror else source, move, (SIDE, SIDE), flags=flags)
    return moved, (cv2.warpAffine(_INSIDE, move, (SIDE, SIDE), flags=flags) > 0.99) & (_INSIDE > 0)


def _agreement(one: np.ndarray, inside: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two images where both are known."""
    x, y = one[inside], other[inside]
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y) + 1e-6))


def _band_within(face: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The same filter of the known part alone."""
    known = inside.astype(np.float32)
    fine, coarse = (
        cv2.GaussianBlur(face * known, (0, 0), width) / np.maximum(cv2.GaussianBlur(known, (0, 0), width), 1e-3)
        for width in (1.0, 4.0)
    )
    return fine - coarse


_INSIDE = np.pad(np.ones((SIDE - 6, SIDE - 6), dtype=np.float32), 3)  # the filter knows little near the border
