"""Checkpoints that are whole: written beside their target, flushed to disk, renamed; and when they are written."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from fer.errors import CheckpointError
from fer.files import replacing
from fer.models.weights import read_checkpoint
from fer.runs.folder import BEST_CHECKPOINT, LAST_CHECKPOINT
from fer.training.progress import is_accumulating


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own is atomic only where temporary files and checkpoints share a file system (#21253)."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        try:
            with replacing(Path(path), "wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            reason = error if isinstance(error, OSError) else error.__context__  # torch closes its archive over it
            if not isinstance(reason, OSError):
                raise
            raise CheckpointError(f"{path} could not be written ({reason}); the one before it is whole") from error

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(path)


class BestCheckpoint(ModelCheckpoint):
    """`best.ckpt`, selected on validation; of epochs that are equally good, the one with the lower `tie`.

    On few validation images ties are the rule, and Lightning's own keeps the first of them, an epoch of hardly any
    training. It also forgets the best score when a run folder is resumed by another name or from another place, and
    the next epoch, however bad, would take the place of the best one.

    Args:
        monitor: what is compared.
        mode: `max` or `min`.
        tie: what decides where that is equal, lower is better; None keeps the first.
        dirpath: folder; the run sets it.
    """

    def __init__(
        self,
        monitor: str = "val/accuracy",
        mode: str = "max",
        tie: str | None = "val/loss",
        dirpath: str | None = None,
    ) -> None:
        super().__init__(
            dirpath=dirpath,
            filename=Path(BEST_CHECKPOINT).stem,
            monitor=monitor,
            mode=mode,
            save_weights_only=True,
            enable_version_counter=False,
        )
        self.tie = tie
        self._tie_of_best = math.inf

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        other = math.inf if self.tie is None else float(trainer.callback_metrics.get(self.tie, math.inf))
        better = super().check_monitor_top_k(trainer, current)
        if not better and current is not None:
            equal = current == self.best_model_score and other < self._tie_of_best
            better = trainer.strategy.reduce_boolean_decision(bool(equal))
        if better:
            self._tie_of_best = other
        return better

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "tie_of_best": self._tie_of_best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        moved = {
            "dirpath": self.dirpath,
            "best_model_path": self._here(state_dict["best_model_path"]),
            "kth_best_model_path": self._here(state_dict["kth_best_model_path"]),
            "best_k_models": {self._here(path): score for path, score in state_dict["best_k_models"].items()},
        }
        super().load_state_dict({**state_dict, **moved})
        self._tie_of_best = state_dict.get("tie_of_best", math.inf)  # older checkpoints have none

    def _here(self, path: str) -> str:
        assert self.dirpath is not None, "the run sets it"
        return str(Path(self.dirpath) / Path(path).name) if path else ""


class LastCheckpoint(Checkpoint):
    """`last.ckpt`, from which a run resumes: after each epoch, every few minutes, and when the run is asked to stop.

    It only ever holds the state between two steps. After a crash within a step the checkpoint before it counts: a run
    resumed from there equals the uninterrupted one; from half a step it would not.

    Args:
        every_minutes: within an epoch; None only after each.
        dirpath: folder; the run sets it.
    """

    def __init__(self, every_minutes: float | None = 10.0, dirpath: str | None = None) -> None:
        self.every_minutes, self.dirpath = every_minutes, dirpath
        self._saved_at = self._earlier = 0.0
        self._started: float | None = None  # where everything was trained already, it never does
        self._saved_step = -1

    @property
    def train_seconds(self) -> float:
        """Spent in training so far, before an interruption too (what was lost with it left out)."""
        return self._earlier + (0.0 if self._started is None else time.monotonic() - self._started)

    def state_dict(self) -> dict[str, Any]:
        return {"train_seconds": self.train_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._earlier = state_dict["train_seconds"]

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._saved_at = self._started = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        # Lightning takes an epoch whose last batch is done for validated.
        within = index + 1 < trainer.num_training_batches and not is_accumulating(trainer)
        if self.every_minutes is not None and within:
            due = time.monotonic() - self._saved_at >= 60 * self.every_minutes
            if trainer.strategy.broadcast(due) if trainer.world_size > 1 else due:
                self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._save(trainer)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        epoch_just_saved = self._saved_step == trainer.global_step and not trainer.validating
        if isinstance(exception, SIGTERMException) and trainer.global_step and not epoch_just_saved:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        assert self.dirpath is not None, "the run sets it"
        trainer.save_checkpoint(Path(self.dirpath) / LAST_CHECKPOINT, weights_only=False)
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
