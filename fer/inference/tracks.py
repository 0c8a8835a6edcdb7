"""Faces followed from frame to frame, and their probabilities smoothed over time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer.faces.detector import FaceBox

SAME = 0.3  # intersection over union of a face in two frames, at least
FORGOTTEN = 1.0  # seconds after which a face that is gone is another when it comes back; more where looks are rarer


@dataclass
class Track:
    """One face in the course of a video."""

    face: int  # number, from 1
    box: FaceBox
    time: float  # seconds, when it was last seen
    smoothed: np.ndarray  # probabilities, float64 [K]
    raw: np.ndarray  # of the last frame alone, float64 [K]


class Tracks:
    """Tells faces apart by where they are.

    Args:
        smoothing: seconds; a frame that old weighs 1/e of the present one. 0 does not smooth.
        every: seconds from one look to the next. A face may be missed in one look and still be the same.
    """

    def __init__(self, smoothing: float, every: float = 0.0) -> None:
        self.smoothing = smoothing
        self.forgotten = max(FORGOTTEN, 2.5 * every)
        self.count = 0
        self._live: list[Track] = []

    def update(self, time: float, boxes: Sequence[FaceBox], probabilities: np.ndarray) -> list[Track]:
        """The faces of a frame, in the order of `boxes`.

        Args:
            time: of the frame, seconds.
            boxes: of its faces.
            probabilities: of each, float [n, K].
        """
        self._live = [track for track in self._live if time - track.time <= self.forgotten]
        free, found = list(self._live), {}
        pairs = [(overlap(track.box, box), t, b) for t, track in enumerate(free) for b, box in enumerate(boxes)]
        taken = set()
        for shared, t, b in sorted(pairs, key=lambda pair: -pair[0]):
            if shared >= SAME and t not in taken and b not in found:
                taken.add(t)
                found[b] = free[t]
        return [self._seen(found.get(b), time, box, probabilities[b]) for b, box in enumerate(boxes)]

    def seen(self, time: float, within: float) -> list[Track]:
        """The faces that were seen in the last `within` seconds, in the order they came."""
        return [track for track in self._live if time - track.time <= within]

    def _seen(self, track: Track | None, time: float, box: FaceBox, raw: np.ndarray) -> Track:
        if track is None:
            self.count += 1
            track = Track(self.count, box, time, raw, raw)
            self._live.append(track)
            return track
        kept = math.exp(-max(time - track.time, 0) / self.smoothing) if self.smoothing > 0 else 0.0
        track.smoothed = kept * track.smoothed + (1 - kept) * raw
        track.box, track.time, track.raw = box, time, raw
        return track


def overlap(one: FaceBox, other: FaceBox) -> float:
    """Intersection over union of two squares."""
    across = min(one.left + one.side, other.left + other.side) - max(one.left, other.left)
    down = min(one.top + one.side, other.top + other.side) - max(one.top, other.top)
    shared = max(across, 0) * max(down, 0)
    return shared / (one.side**2 + other.side**2 - shared)
