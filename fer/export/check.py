"""An exported model beside the original: on real faces, and on the clock."""

import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.progress import track

from fer.errors import ExportError
from fer.export.faces import BATCH, Faces
from fer.export.formats import Run

log = logging.getLogger(__name__)

TOLERANCE = 1e-4  # largest difference of a probability in fp32
CLOSE = 0.95  # of the images must get the same emotion in a lower precision, or there is a warning
ROUNDS, SECONDS, SINGLES = 7, 10.0, 10  # most turns of each timing, its patience, calls of batch 1 in a turn


def compare(original: Run, exported: Run, faces: Faces, size: int, channels: int) -> dict[str, Any]:
    """How far an exported model is from the original, over all faces.

    Returns:
        `images`, `checked_on`, `max_probability_difference`, `mean_probability_difference`, `same_emotion` (the share
        of images), and `accuracy` and `accuracy_exported` where labels are known, else None.

    Raises:
        ExportError: the exported model's outputs are no numbers.
    """
    total = -(-len(faces) // BATCH)
    before, after = [], []
    for batch in track(faces.batches(size, channels), description="checking", total=total, transient=True):
        before.append(original(batch))
        after.append(exported(batch))
    ours, theirs = np.concatenate(before), np.concatenate(after)
    if not np.isfinite(theirs).all():
        raise ExportError("the exported model's outputs are no numbers: its values pass the range of the precision")
    difference = np.abs(ours.astype(np.float64) - theirs)
    guesses, exported_guesses = ours.argmax(axis=1), theirs.argmax(axis=1)
    labels = faces.labels
    return {
        "checked_on": faces.what,
        "images": len(faces),
        "max_probability_difference": float(difference.max()),
        "mean_probability_difference": float(difference.mean()),
        "same_emotion": float((guesses == exported_guesses).mean()),
        "accuracy": None if labels is None else float((guesses == labels).mean()),
        "accuracy_exported": None if labels is None else float((exported_guesses == labels).mean()),
    }


def judge(found: dict[str, Any], precision: str) -> None:
    """Refuse an fp32 model that is not the original, and warn of a smaller one that decides otherwise.

    Args:
        found: by `compare`.
        precision: of the exported model.

    Raises:
        ExportError: in fp32, a probability differs by more than 1e-4.
    """
    difference, same = found["max_probability_difference"], found["same_emotion"]
    if precision == "fp32" and difference > TOLERANCE:
        raise ExportError(
            f"not written: a probability differs from the original's by {difference:.2g}, over {TOLERANCE:g}, on "
            f"{found['images']} {found['checked_on']}; another format may do, and please report the network"
        )
    if same < CLOSE:
        log.warning("in %s only %.1f %% of the images get the emotion that the original gives", precision, 100 * same)


def clock(runs: dict[str, Run], faces: Faces, size: int, channels: int) -> dict[str, dict[str, float]]:
    """Time models in turn, on the CPU: medians over turns.

    Args:
        runs: by name.

    Returns:
        By name: `batch1_milliseconds` and `batch64_images_per_second`.
    """
    first = next(faces.batches(size, channels))
    many = np.ascontiguousarray(np.resize(first, (BATCH, *first.shape[1:])))
    single = np.ascontiguousarray(many[:1])
    ones = _in_turn({name: _repeated(run, single, SINGLES) for name, run in runs.items()})
    batches = _in_turn({name: _repeated(run, many, 1) for name, run in runs.items()})
    return {
        name: {
            "batch1_milliseconds": 1000 * ones[name] / SINGLES,
            "batch64_images_per_second": BATCH / batches[name],
        }
        for name in runs
    }


def _repeated(run: Run, images: np.ndarray, times: int) -> Callable[[], None]:
    def call() -> None:
        for _ in range(times):
            run(images)

    return call


def _in_turn(calls: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median seconds of each call; a warm-up is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    started = time.perf_counter()
    for turn in range(ROUNDS + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
        if turn >= 3 and time.perf_counter() - started > SECONDS:
            break
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}
