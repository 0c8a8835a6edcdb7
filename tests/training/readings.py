"""What tests read off a run."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

DETERMINISTIC = ("val/accuracy", "val/nll", "test/accuracy", "test/nll", "test/ece", "best_epoch")  # of metrics.json


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return accumulator.Reload()
