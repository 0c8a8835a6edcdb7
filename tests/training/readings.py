"""What tests read off a run."""

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

DETERMINISTIC = ("val/accuracy", "val/nll", "test/accuracy", "test/nll", "test/ece", "best_epoch")  # of metrics.json


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return accumulator.Reload()


class LearningRatesOfEpochs(Callback):
    """Append the learning rate with which each epoch begins to a file; named in configs of tests."""

    def __init__(self, file: str) -> None:
        self.file = file

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        with open(self.file, "a") as file:
            file.write(f"{trainer.optimizers[0].param_groups[0]['lr']}\n")
