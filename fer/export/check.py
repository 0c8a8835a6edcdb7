"""An exported model beside the original: on real faces, and on the clock."""

import logging
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fer.console import track
from fer.errors import ExportError
from fer.export.faces import BATCH_SIZE, FaceImages
from fer.export.formats import Run

log = logging.getLogger(__name__)

MAX_DIFFERENCE = 1e-4  # of a probability in fp32
MAX_NOVELTY_DIFFERENCE = 1e-2  # in fp32; 1 is the border of training data
MIN_SAME_EMOTION = 0.95  # share of images with the same emotion in a lower precision; below it a warning
ROUNDS, MAX_SECONDS, SINGLES = 7, 10.0, 10  # most rounds of a timing, its limit, calls of batch 1 per round


def compare(original: Run, exported: Run, faces: FaceImages, size: int, channels: int) -> dict[str, Any]:
    """How far an exported model is from the original, over all faces.

    Returns:
        `images`, `checked_on`, `max_probability_difference`, `mean_probability_difference`, `same_emotion` (the share
        of images), and `accuracy` and `accuracy_exported` where labels are known, else None.

    Raises:
        ExportError: the exported model's outputs are no numbers.
    """
    total = -(-len(faces) // BATCH_SIZE)
    outputs: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in track(faces.batches(size, channels), "checking", total):
        outputs.append((original(batch), exported(batch)))
    ours, theirs = map(np.concatenate, zip(*outputs, strict=True))
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


def compare_scores(original: Run, exported: Run, faces: FaceImages, size: int, channels: int) -> dict[str, float]:
    """How far the novelty of an exported model is from the original's, over all faces.

    Returns:
        `max_novelty_difference`, and which share is unlike the training data: `unlike_training` by the original, and
        `unlike_training_exported`.
    """
    scores = [(original(batch), exported(batch)) for batch in faces.batches(size, channels)]
    ours, theirs = map(np.concatenate, zip(*scores, strict=True))
    return {
        "max_novelty_difference": float(np.abs(ours.astype(np.float64) - theirs).max()),
        "unlike_training": float((ours >= 1).mean()),
        "unlike_training_exported": float((theirs >= 1).mean()),
    }


def check_difference(found: dict[str, Any], precision: str) -> None:
    """Warn if a model of lower precision often predicts another emotion.

    Args:
        found: the results of `compare` and `compare_scores`.
        precision: of the exported model.

    Raises:
        ExportError: in fp32, a probability differs by more than 1e-4, or a novelty by more than 1e-2.
    """
    difference, same = found["max_probability_difference"], found["same_emotion"]
    if precision == "fp32" and difference > MAX_DIFFERENCE:
        raise ExportError(
            f"not written: a probability differs from the original's by {difference:.2g}, over {MAX_DIFFERENCE:g}, on "
            f"{found['images']} {found['checked_on']}; another format may do, and please report the network"
        )
    apart = found.get("max_novelty_difference", 0.0)
    if precision == "fp32" and not apart <= MAX_NOVELTY_DIFFERENCE:
        raise ExportError(
            f"not written: a novelty differs from the original's by {apart:.2g}; please report the network"
        )
    if same < MIN_SAME_EMOTION:
        log.warning("in %s only %.1f %% of the images get the same emotion as from the original", precision, 100 * same)


def clock(runs: dict[str, Run], faces: FaceImages, size: int, channels: int) -> dict[str, dict[str, float]]:
    """Time models in turn on the CPU: by name, medians of `batch1_milliseconds` and `batch64_images_per_second`."""
    first = next(faces.batches(size, channels))
    batch = np.ascontiguousarray(np.resize(first, (BATCH_SIZE, *first.shape[1:])))
    single = np.ascontiguousarray(batch[:1])
    ones = _in_turn({name: partial(_repeat, run, single, SINGLES) for name, run in runs.items()})
    batches = _in_turn({name: partial(_repeat, run, batch, 1) for name, run in runs.items()})
    return {
        name: {
            "batch1_milliseconds": 1000 * ones[name] / SINGLES,
            "batch64_images_per_second": BATCH_SIZE / batches[name],
        }
        for name in runs
    }


def _repeat(run: Run, images: np.ndarray, times: int) -> None:
    for _ in range(times):
        run(images)


def _in_turn(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of each call; a warm-up is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    started = time.perf_counter()
    for turn in range(ROUNDS + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
        if turn >= 3 and time.perf_counter() - started > MAX_SECONDS:
            break
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}
