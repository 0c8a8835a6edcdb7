"""Probabilities in the course of a video, as a figure."""

from collections.abc import Sequence
from itertools import cycle

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fer.inference.annotate import colour
from fer.reporting.figures import STYLE

SHOWN = 4  # faces, those seen most
LINES = ("-", "--", "-.", ":")


def timeline_figure(
    times: np.ndarray, faces: np.ndarray, smoothed: np.ndarray, raw: np.ndarray, classes: Sequence[str], gap: float
) -> Figure:
    """A panel for each face: lines of the smoothed probabilities over points of the raw ones.

    Args:
        times: of each sighting, seconds, float [n].
        faces: its face's number, int [n].
        smoothed: probabilities, float [n, K].
        raw: the same of its frame alone.
        classes: names of the K classes.
        gap: seconds without a face that break its lines.
    """
    numbers, counts = np.unique(faces, return_counts=True)
    shown = sorted(numbers[np.argsort(-counts, kind="stable")[:SHOWN]]) or [0]
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
