"""Faces followed from frame to frame, their probabilities smoothed over time, and both as a figure."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fer.faces.box import FaceBox, overlap
from fer.inference.annotate import colour
from fer.reporting.figures import STYLE

MIN_OVERLAP = 0.3  # intersection over union of one face in two frames
FAR = 1.0  # the farthest that a face moves between two looks, of its side, where no other face is nearer
FORGET_SECONDS, FORGET_LOOKS = 1.5, 2.5  # a face that was away for longer, in seconds and looks, gets a new number
RECENT_LOOKS = 3  # that tell how often frames are searched
MAX_PANELS = 4  # of the figure: the faces that were seen most
MAX_SIGHTINGS = 20_000  # that are kept for it
LINES = ("-", "--", "-.", ":")


@dataclass
class Track:
    """One face in the course of a video."""

    face: int  # number, from 1
    box: FaceBox
    time: float  # seconds, when it was last seen
    smoothed: np.ndarray  # probabilities, float64 [K]
    raw: np.ndarray  # of the last frame alone, float64 [K]
    novelty: float | None = None  # of the last frame, see `Prediction`


class Tracks:
    """Follows faces by their place.

    Args:
        smoothing: seconds after which a frame weighs 1/e of the present one; 0 does not smooth.
        every: seconds between searched frames, until their times tell. A face may be missed in one of them and keep its
            number.
    """

    def __init__(self, smoothing: float, every: float = 0.0) -> None:
        self.smoothing = smoothing
        self._gaps, self.last_look = deque([every], maxlen=RECENT_LOOKS), -math.inf
        self.count = 0
        self._live: list[Track] = []

    @property
    def every(self) -> float:
        """Seconds between the last looks, a pause left out."""
        return min(self._gaps)

    @property
    def forgotten(self) -> float:
        """Seconds after which a face that is away gets a new number."""
        return max(FORGET_SECONDS, FORGET_LOOKS * self.every)

    def update(
        self, time: float, boxes: Sequence[FaceBox], probabilities: np.ndarray, novelty: np.ndarray | None = None
    ) -> list[Track]:
        """The faces of a frame, in the order of `boxes`.

        Args:
            time: of the frame, seconds; every frame that is searched counts, with faces or without.
            boxes: of its faces.
            probabilities: of each, float [n, K].
            novelty: of each, float [n]; None where it is unknown.
        """
        if self.last_look > -math.inf:
            self._gaps.append(max(time - self.last_look, 0.0))
        self.last_look = time
        self._live = [track for track in self._live if time - track.time <= self.forgotten]
        free, found = list(self._live), {}
        pairs = [(closeness(track.box, box), t, b) for t, track in enumerate(free) for b, box in enumerate(boxes)]
        taken = set()
        for shared, t, b in sorted(pairs, key=lambda pair: -pair[0]):
            if shared > 0 and t not in taken and b not in found:
                taken.add(t)
                found[b] = free[t]
        tracks = [self._seen(found.get(b), time, box, probabilities[b]) for b, box in enumerate(boxes)]
        for b, track in enumerate(tracks):
            track.novelty = None if novelty is None else float(novelty[b])
        return tracks

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


def closeness(one: FaceBox, other: FaceBox) -> float:
    """How likely two boxes of two frames are one face: their overlap, or less for those that are near; else 0."""
    shared, side = overlap(one, other), max(one.side, other.side)
    if shared >= MIN_OVERLAP:
        return shared
    if 2 * min(one.side, other.side) < side:
        return 0.0
    return MIN_OVERLAP * max(0.0, 1 - math.dist(one.centre, other.centre) / (FAR * side))


@dataclass
class Timeline:
    """Sightings of faces, for the figure: of a long video as many as it can show, evenly over time."""

    times: list[float] = field(default_factory=list)  # seconds
    faces: list[int] = field(default_factory=list)  # numbers of the faces
    smoothed: list[np.ndarray] = field(default_factory=list)  # probabilities, float32 [K]
    raw: list[np.ndarray] = field(default_factory=list)  # the same of the frame alone
    counts: dict[int, np.ndarray] = field(default_factory=dict)  # of each face, how often each class was the best
    step: float = 0.0  # seconds between sightings of a face that are kept
    _latest: dict[int, float] = field(default_factory=dict)

    def add(self, time: float, track: Track) -> None:
        best = self.counts.setdefault(track.face, np.zeros(len(track.smoothed), np.int64))
        best[int(track.smoothed.argmax())] += 1
        if time - self._latest.get(track.face, -math.inf) < self.step:
            return
        self._latest[track.face] = time
        self.times.append(time)
        self.faces.append(track.face)
        self.smoothed.append(track.smoothed.astype(np.float32))
        self.raw.append(track.raw.astype(np.float32))
        if len(self.times) > MAX_SIGHTINGS:
            self._thin()

    def _thin(self) -> None:
        """Keep about half of the sightings."""
        span = self.times[-1] - self.times[0]
        self.step = 2 * (self.step or span / MAX_SIGHTINGS)
        old = list(zip(self.times, self.faces, self.smoothed, self.raw, strict=True))
        self._latest, kept = {}, []
        for sighting in old:
            if sighting[0] - self._latest.get(sighting[1], -math.inf) >= self.step:
                self._latest[sighting[1]] = sighting[0]
                kept.append(sighting)
        self.times, self.faces, self.smoothed, self.raw = map(list, zip(*kept, strict=True))


def timeline_figure(timeline: Timeline, classes: Sequence[str], gap: float) -> Figure:
    """A panel for each face: lines of the smoothed probabilities over points of the raw ones.

    Args:
        timeline: of the video.
        classes: names of the K classes.
        gap: a line breaks if its face is away for longer, seconds.
    """
    times, faces = np.array(timeline.times), np.array(timeline.faces, dtype=int)
    smoothed, raw = (np.array(rows).reshape(-1, len(classes)) for rows in (timeline.smoothed, timeline.raw))
    numbers, counts = np.unique(faces, return_counts=True)
    shown = sorted(numbers[np.argsort(-counts, kind="stable")[:MAX_PANELS]]) or [0]
    gap = max(gap, 2.5 * timeline.step)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.9 + 1.9 * len(shown)), layout="constrained")
        panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axes, number in zip(panels, shown, strict=True):
            rows = faces == number
            for k, (name, line) in enumerate(zip(classes, cycle(LINES))):
                axes.plot(times[rows], raw[rows, k], ".", color=colour(name), markersize=2, alpha=0.3)
                at, values = _with_gaps(times[rows], smoothed[rows, k], gap)
                axes.plot(at, values, line, color=colour(name), linewidth=1.6, label=name)
            axes.set(ylim=(0, 1), ylabel=f"face {number}\nprobability")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(classes), frameon=False, fontsize=9)
        some = f"; the {len(shown)} faces seen most, of {len(numbers)}" if len(numbers) > len(shown) else ""
        panels[-1].set_xlabel(f"seconds (points: each frame alone; lines: smoothed{some})")
    return figure


def _with_gaps(times: np.ndarray, values: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """The same with a NaN wherever the face was away."""
    away = np.flatnonzero(np.diff(times) > gap) + 1
    return np.insert(times, away, np.nan), np.insert(values, away, np.nan)
