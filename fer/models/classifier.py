"""The LightningModule: normalise, network, loss, metrics. Its checkpoints rebuild it without any config."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics.classification import MulticlassConfusionMatrix

from fer.data.loader import Batch
from fer.errors import ConfigError
from fer.models.accumulation import gathered_gradients, is_gathering, restore_gradients
from fer.models.averaging import AveragedNetwork
from fer.models.divergence import DivergenceWatch, divergence
from fer.models.freeze import FreezeSchedule, apply_freeze
from fer.models.lr_multipliers import Equal
from fer.models.progress import Progress
from fer.models.schedule import Constant, RateSchedule
from fer.models.stages import Stage, network_stages, parameter_groups
from fer.models.weights import FORMAT

log = logging.getLogger(__name__)


class ExpressionClassifier(LightningModule):
    """Emotion logits from faces.

    Args:
        network: float [B, C, S, S], normalised -> logits [B, K].
        network_spec: plain constructor arguments of `network` (with `_target_`), kept in checkpoints.
        classes: names of the K outputs.
        image_size: side S of training images, pixels.
        stored_size: side of the squares that they were stored as before, pixels: how sharp they can be; None where
            nobody knows.
        mean: of each of the C channels of training images, in [0, 1].
        std: the same, standard deviation.
        optimizer: parameter groups -> optimizer; its rate is the head's.
        rates: (rate, number of stages) -> rate of each stage.
        scheduler: (step, steps) -> factor of the rates; runs once in each phase of `freeze`.
        freeze: which stages train when.
        loss: (logits, targets) -> mean loss of training; validation always shows plain cross-entropy.
        ema_decay: of an exponential moving average of the weights, which then is what is evaluated and saved; None
            does without.
        channels_last: memory format of the network; the faster one in mixed precision.
        compile: compile the network, in place.
        seed: of dropout and stochastic depth, with the step: a run that goes on drops what it would have dropped.
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
        rates: Callable[[float, int], list[float]] | None = None,
        scheduler: Callable[[int, int], float] | None = None,
        freeze: FreezeSchedule | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        ema_decay: float | None = None,
        channels_last: bool = False,
        compile: bool = False,
        seed: int = 0,
        stored_size: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last) if channels_last else network
        self.averaged = None if ema_decay is None else AveragedNetwork(self.network, ema_decay)
        if compile:
            self.network.compile()
        self.network_spec, self.classes = network_spec, list(classes)
        self.image_size, self.stored_size = image_size, stored_size
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))
        self.stages = network_stages(network)
        self.optimizer, self.rates, self.scheduler = optimizer, rates or Equal(), scheduler or Constant()
        self.rate_schedule: RateSchedule | None = None
        self.freeze_schedule = freeze or FreezeSchedule()
        self._told_trainable: list[Stage] = []
        self._gradients: dict[str, Tensor] = {}  # of a checkpoint made between the batches of one step
        self.loss = loss or F.cross_entropy
        self.seed = seed
        self.divergence = DivergenceWatch()
        self.train_progress, self.val_progress = Progress(len(self.classes)), Progress(len(self.classes))
        self.confusion = MulticlassConfusionMatrix(len(self.classes), validate_args=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float [B, K], of faces, float [B, C, S, S] in [0, 1]; of the averaged weights when not training."""
        averaged = self.averaged is not None and not self.training
        network = self.averaged.network if averaged and self.averaged is not None else self.network
        return network((images - self.mean) / self.std)

    # Training

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        # Dropout goes by the step, not by what was drawn before it; accumulation repeats a step, hence the index.
        words = np.random.SeedSequence([self.seed, self.global_step, index, self.global_rank]).generate_state(2)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        logits = self(batch.images).float()
        loss = self.loss(logits, batch.targets)
        self.train_progress.update(loss, logits, batch.labels)
        self._watch(loss, batch.images)
        return loss

    def _watch(self, loss: Tensor, images: Tensor) -> None:
        """Stop at a loss that is no number: at once where looking is free, else every few steps, on all ranks."""
        self.divergence.see(loss, self.global_step)
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if loss.device.type == "cpu" and self.trainer.world_size == 1:
            self._stop_if_diverged(images)
        elif every and self.global_step % every == 0:  # else when the epoch is validated
            self._stop_if_diverged()

    def _stop_if_diverged(self, images: Tensor | None = None) -> None:
        step = self.divergence.step
        if self._trainer is not None and self.trainer.world_size > 1:
            seen = torch.tensor(-1 if step is None else step, device=self.device)
            worst = int(self.trainer.strategy.reduce(seen, reduce_op="max"))
            step = None if worst < 0 else worst
        if step is not None:
            rate = max(group["lr"] for group in self.trainer.optimizers[0].param_groups)
            raise divergence(step, self.current_epoch, rate, str(self.trainer.precision), self.network, images)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        step = self.global_step
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None:
            self.averaged.follow(self.network, step)

    def on_train_start(self) -> None:
        self._freeze()  # Lightning skips on_train_epoch_start where it goes on within an epoch
        restore_gradients(self.network, self._gradients, self.global_rank)
        self._gradients = {}

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

    def on_train_epoch_end(self) -> None:
        self._log_epoch(self.train_progress, "train")

    # Validation

    def on_validation_epoch_start(self) -> None:
        self._stop_if_diverged()
        self.val_progress.reset()
        self.confusion.reset()
        if self.trainer.world_size > 1 and self.averaged is not None:
            for buffer in self.averaged.network.buffers():  # BatchNorm's, of which DDP sends only the raw ones around
                torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: Batch, _: int) -> None:
        logits = self(batch.images).float()
        self.val_progress.update(F.cross_entropy(logits, batch.labels), logits, batch.labels)
        self.confusion.update(logits, batch.labels)

    def on_validation_epoch_end(self) -> None:
        results = self._log_epoch(self.val_progress, "val")
        if not torch.isfinite(results["loss"]):
            rate = max(group["lr"] for group in self.trainer.optimizers[0].param_groups)
            raise divergence(self.global_step, self.current_epoch, rate, str(self.trainer.precision), self.network)

    def _log_epoch(self, progress: Progress, split: str) -> dict[str, Tensor]:
        results = progress.finish()
        self.log_dict({f"{split}/{name}": value for name, value in results.items()}, prog_bar=split == "val")
        return results

    # Optimizer and schedule

    def configure_optimizers(self) -> OptimizerLRScheduler:
        options = {}
        if self.trainer.precision == "16-mixed" and self.trainer.gradient_clip_val:
            # A fused step unscales gradients by itself, after the clipping: Lightning refuses the pair.
            options = {"fused": False} if "fused" in getattr(self.optimizer, "keywords", {}) else {}
        optimizer = build_optimizer(self.network, self.stages, self.optimizer, self.rates, **options)
        self.rate_schedule = self._rate_schedule(optimizer)
        scheduler = LambdaLR(optimizer, self.rate_schedule.factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _rate_schedule(self, optimizer: Optimizer) -> RateSchedule:
        rates = {group["stage"]: group["lr"] for group in optimizer.param_groups}
        epoch_steps, total_steps = planned_steps(self.trainer)
        epochs = max(1, self.trainer.max_epochs or 1)
        starts = [epoch * epoch_steps for epoch, _ in self.freeze_schedule.phases(self.stages, epochs)]
        return RateSchedule(rates, self.scheduler, [start for start in starts if start < total_steps], total_steps)

    # Checkpoints: `state_dict` is always what is evaluated; what only going on needs stands beside it.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._stop_if_diverged()
        checkpoint["fer"] = {
            "format": FORMAT,
            "network": self.network_spec,
            "classes": self.classes,
            "image_size": self.image_size,
            "stored_size": self.stored_size,
        }
        state = checkpoint["state_dict"]
        goes_on = "optimizer_states" in checkpoint
        if goes_on:
            checkpoint["fer"]["train_progress"] = self.train_progress.counts(self._gathered)
            if is_gathering(self.trainer):
                checkpoint["fer"]["gradients"] = gathered_gradients(self.network, self._gathered)
            if self.trainer.validating:
                _validate_from_the_start(checkpoint["loops"]["fit_loop"])
        if self.averaged is not None:
            raw = {key: state[key] for key in state if key.startswith("network.")}
            if goes_on:
                checkpoint["fer"]["raw"] = raw
            for key in raw:
                state[key] = state.pop(f"averaged.{key}")

    def _gathered(self, value: Tensor) -> Tensor:
        """A tensor of each rank, stacked."""
        return torch.stack([value]) if self.trainer.world_size == 1 else cast(Tensor, self.all_gather(value))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        facts, state = checkpoint["fer"], checkpoint["state_dict"]
        if "train_progress" in facts:
            self.train_progress.restore(facts["train_progress"], self.global_rank)
        self._gradients = facts.get("gradients", {})
        if self.averaged is not None and "raw" in facts:
            for key, value in facts["raw"].items():
                state[f"averaged.{key}"], state[key] = state[key], value


def build_optimizer(
    network: nn.Module,
    stages: Sequence[Stage],
    optimizer: Callable[..., Optimizer],
    rates: Callable[[float, int], list[float]],
    rate: float | None = None,
    **options: Any,
) -> Optimizer:
    """An optimizer over all stages, each with its own learning rate.

    Args:
        network: what is trained.
        stages: of the network.
        optimizer: parameter groups -> optimizer.
        rates: (rate, number of stages) -> rate of each stage.
        rate: of the head; None takes the optimizer's own.
        options: further arguments of the optimizer.
    """
    built = optimizer(parameter_groups(network, stages), **options)
    head = float(built.defaults["lr"]) if rate is None else rate
    rate_of = dict(zip((stage.name for stage in stages), rates(head, len(stages)), strict=True))
    for group in built.param_groups:
        group["lr"] = rate_of[group["stage"]]
    return built


def planned_steps(trainer: Trainer) -> tuple[int, int]:
    """Optimizer steps of an epoch, and of the whole run.

    The Trainer's own `estimated_stepping_batches` sets the loaders up before a checkpoint is read, after which
    Lightning no longer gives them their positions back: a run resumed within an epoch would see images twice.

    Raises:
        ConfigError: none at all.
    """
    datamodule = getattr(trainer, "datamodule", None)
    if datamodule is None or trainer.max_epochs in (None, -1):
        total = int(trainer.estimated_stepping_batches)
        return -(-total // max(1, trainer.max_epochs or 1)), total
    batches, limit = len(datamodule.train_dataloader()), trainer.limit_train_batches
    if limit is not None:
        batches = int(batches * limit) if isinstance(limit, float) else min(batches, limit)
    if not batches:
        raise ConfigError(f"trainer.limit_train_batches={limit} leaves no batch to train on")
    epoch_steps = -(-batches // trainer.accumulate_grad_batches)
    total = epoch_steps * trainer.max_epochs
    return epoch_steps, total if trainer.max_steps == -1 else min(total, trainer.max_steps)


def _validate_from_the_start(fit_loop: dict[str, Any]) -> None:
    """Mark a checkpoint that is made within a validation so that the whole of it is run again.

    Lightning would validate as many images as were left, but the first ones.
    """
    first = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    fit_loop["epoch_loop.val_loop.batch_progress"] |= {"total": dict(first), "current": dict(first)}
