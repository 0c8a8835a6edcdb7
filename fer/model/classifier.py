"""The LightningModule: normalise, network, loss, metrics. Its checkpoints rebuild it without any config."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassF1Score

from fer.data.loader import Batch
from fer.errors import CheckpointError, FERError
from fer.model.freeze import FreezeSchedule, apply_freeze
from fer.model.network import timm_network
from fer.model.schedule import Constant
from fer.model.stages import Stage, network_stages, parameter_groups
from fer.model.weights import FORMAT, read_checkpoint

log = logging.getLogger(__name__)

OWN_BUILDER = "fer.model.network.timm_network"


class ExpressionClassifier(LightningModule):
    """Emotion logits from faces.

    Args:
        network: float [B, C, S, S], normalised -> logits [B, K].
        network_spec: plain constructor arguments of `network` (with `_target_`), kept in checkpoints.
        classes: names of the K outputs.
        image_size: side S of training images, pixels.
        mean: of each of the C channels of training images, in [0, 1].
        std: the same, standard deviation.
        optimizer: parameter groups -> optimizer.
        scheduler: (step, total steps) -> factor of each group's learning rate.
        freeze: which stages train when.
        label_smoothing: share of the target spread over all classes (Szegedy et al. 2016).
        channels_last: memory format of the network; the faster one in mixed precision.
        compile: compile the network, in place.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        network_spec: dict[str, Any],
        classes: Sequence[str],
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        optimizer: Callable[..., Optimizer] = torch.optim.AdamW,
        scheduler: Callable[[int, int], float] | None = None,
        freeze: FreezeSchedule | None = None,
        label_smoothing: float = 0.0,
        channels_last: bool = False,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last) if channels_last else network
        if compile:
            self.network.compile()
        self.network_spec, self.classes, self.image_size = network_spec, list(classes), image_size
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))
        self.stages = network_stages(network)
        self.optimizer, self.scheduler = optimizer, scheduler or Constant()
        self.freeze_schedule = freeze or FreezeSchedule()
        self._told_trainable: list[Stage] = []
        self.label_smoothing = label_smoothing
        self.train_progress, self.val_progress = _Progress(len(self.classes)), _Progress(len(self.classes))
        self.confusion = MulticlassConfusionMatrix(len(self.classes), validate_args=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float [B, K], of faces, float [B, C, S, S] in [0, 1]."""
        return self.network((images - self.mean) / self.std)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        return self._step(batch, self.train_progress, self.label_smoothing)[0]

    def validation_step(self, batch: Batch, _: int) -> None:
        _loss, logits = self._step(batch, self.val_progress)
        self.confusion.update(logits, batch.labels)

    def _step(self, batch: Batch, progress: "_Progress", smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        logits = self(batch.images).float()
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=smoothing)
        detached = logits.detach()
        progress(loss.detach(), detached, batch.labels)
        return loss, detached

    def on_train_start(self) -> None:
        self._freeze()  # Lightning skips on_train_epoch_start where it goes on within an epoch

    def on_train_epoch_start(self) -> None:
        learning = self._freeze()
        self.log("schedule/trainable_parameters", float(learning))

    def _freeze(self) -> int:
        """Freeze what the epoch's schedule says; the number of parameters that train."""
        trainable = self.freeze_schedule.trainable_stages(self.current_epoch, self.stages, self.trainer.max_epochs or 1)
        apply_freeze(self.network, self.stages, trainable)
        learning = sum(parameter.numel() for parameter in self.network.parameters() if parameter.requires_grad)
        if self.freeze_schedule.freezes and trainable != self._told_trainable:
            self._told_trainable = trainable
            names = ", ".join(stage.name for stage in trainable)
            if self.trainer.is_global_zero:
                log.info("epoch %d trains %s: %s parameters", self.current_epoch, names, f"{learning:,}")
        return learning

    def on_validation_epoch_start(self) -> None:
        self.confusion.reset()

    def on_train_epoch_end(self) -> None:
        self._log_epoch(self.train_progress, "train")

    def on_validation_epoch_end(self) -> None:
        self._log_epoch(self.val_progress, "val")

    def _log_epoch(self, progress: "_Progress", split: str) -> None:
        results = progress.compute()
        self.log_dict({f"{split}/{name}": value for name, value in results.items()}, prog_bar=split == "val")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        total_steps = _total_steps(self.trainer)
        options = {}
        if self.trainer.precision == "16-mixed" and self.trainer.gradient_clip_val:
            # A fused step unscales gradients by itself, after the clipping: Lightning refuses the pair.
            options = {"fused": False} if "fused" in getattr(self.optimizer, "keywords", {}) else {}
        optimizer = self.optimizer(parameter_groups(self.network, self.stages), **options)
        scheduler = LambdaLR(optimizer, lambda step: self.scheduler(step, total_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["fer"] = {
            "format": FORMAT,
            "network": self.network_spec,
            "classes": self.classes,
            "image_size": self.image_size,
        }


def load_classifier(path: Path | str, network: nn.Module | None = None) -> ExpressionClassifier:
    """Rebuild a classifier from a checkpoint or run folder of this project, on the CPU, in evaluation mode.

    Args:
        path: the checkpoint, or a run folder (its best one).
        network: the network to load into, where it is not one of timm's: a checkpoint is never allowed to name
            code that we then run.

    Raises:
        CheckpointError: missing, damaged, foreign, or of a network that cannot be rebuilt.
    """
    checkpoint = read_checkpoint(path)
    facts, state = checkpoint["fer"], checkpoint["state_dict"]
    spec = facts["network"]
    if network is None:
        if spec.get("_target_") != OWN_BUILDER:
            raise CheckpointError(f"{path} holds a {spec.get('_target_')}: build that network and pass it in")
        network = _rebuild(spec, path)
    mean, std = (state[name].flatten().tolist() for name in ("mean", "std"))
    classifier = ExpressionClassifier(
        network,
        network_spec=spec,
        classes=facts["classes"],
        image_size=facts["image_size"],
        mean=mean,
        std=std,
    )
    try:
        classifier.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit the network it names ({spec.get('backbone')})") from error
    return classifier.eval()


def _rebuild(spec: dict[str, Any], path: Path | str) -> nn.Module:
    arguments = {key: value for key, value in spec.items() if key not in ("_target_", "weights")}
    for key, value in arguments.items():
        if not isinstance(value, str | int | float | None):
            raise CheckpointError(f"{path} gives the network {key}={value}, which is no plain value")
    try:
        return timm_network(**arguments, weights="none")
    except (TypeError, ValueError, RuntimeError, AttributeError, FERError) as error:
        raise CheckpointError(f"{path} names a network that cannot be built: {error}") from error


def _total_steps(trainer: Trainer) -> int:
    """Optimizer steps of the whole run.

    The Trainer's own `estimated_stepping_batches` sets the loaders up before a checkpoint is read, after which
    Lightning no longer gives them their positions back: a run resumed within an epoch would see images twice.
    """
    datamodule = getattr(trainer, "datamodule", None)
    if datamodule is None or trainer.max_epochs in (None, -1):
        return int(trainer.estimated_stepping_batches)
    batches, limit = len(datamodule.train_dataloader()), trainer.limit_train_batches
    if limit is not None:
        batches = int(batches * limit) if isinstance(limit, float) else min(batches, limit)
    steps = -(-batches // trainer.accumulate_grad_batches) * trainer.max_epochs
    return steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)


class _Progress(nn.Module):
    """Loss and scores of the epoch so far, kept on the device."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.loss = MeanMetric(nan_strategy="disable")
        self.scores = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(classes, average="micro", validate_args=False),
                "macro_f1": MulticlassF1Score(classes, average="macro", validate_args=False),
            }
        )

    def forward(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        self.loss.update(loss, len(labels))
        self.scores.update(logits, labels)

    def compute(self) -> dict[str, Tensor]:
        """The epoch's results; the next one starts afresh."""
        results = {"loss": self.loss.compute(), **self.scores.compute()}
        self.loss.reset()
        self.scores.reset()
        return results
