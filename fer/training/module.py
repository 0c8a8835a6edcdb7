"""Lightning around the classifier: loss, metrics, optimizer, what is frozen when, and checkpoints to resume from."""

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torchmetrics.classification import MulticlassConfusionMatrix

from fer.data.loader import Batch
from fer.device import AUTOCAST
from fer.errors import ConfigError
from fer.models.averaging import AveragedNetwork
from fer.models.classifier import ExpressionClassifier
from fer.models.lr_multipliers import Equal
from fer.models.stages import Stage, build_optimizer, network_stages
from fer.training.cpu_conv import use_small_map_convolutions
from fer.training.freeze import FreezeSchedule, apply_freeze
from fer.training.progress import (
    DivergenceWatch,
    Progress,
    divergence,
    gradients_of_ranks,
    is_accumulating,
    restore_gradients,
)
from fer.training.schedule import Constant, LearningRateSchedule, planned_batches, planned_steps

log = logging.getLogger(__name__)


class ExpressionModule(ExpressionClassifier, LightningModule):
    """An `ExpressionClassifier` that the Trainer trains.

    Args:
        network: see `ExpressionClassifier`, as for `network_spec`, `classes`, `image_size`, `mean`, `std`,
            `stored_size` and `framing`.
        optimizer: parameter groups -> optimizer; its learning rate is the head's.
        layerwise_lr: (learning rate of the head, number of stages) -> learning rate of each stage.
        scheduler: (step, steps) -> factor of the learning rates, which runs once in each phase of `freeze`; or one of
            torch's as a partial, optimizer -> scheduler, which takes a step after each epoch.
        freeze: which stages train when.
        loss: (logits, targets) -> mean loss of training; validation always shows plain cross-entropy.
        ema_decay: of an exponential moving average of the weights, which is then evaluated and saved; None: no average.
        channels_last: memory format of the network; the faster one in mixed precision.
        compile: compile the network, in place.
        seed: of dropout and stochastic depth, together with the step: a resumed run drops what it would have dropped.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        network_spec: dict[str, Any],
        classes: Sequence[str],
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        stored_size: int | None = None,
        framing: dict[str, Any] | None = None,
        optimizer: Callable[..., Optimizer] = torch.optim.AdamW,
        layerwise_lr: Callable[[float, int], list[float]] | None = None,
        scheduler: Callable[[int, int], float] | functools.partial | None = None,
        freeze: FreezeSchedule | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        ema_decay: float | None = None,
        channels_last: bool = False,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            network.to(memory_format=torch.channels_last) if channels_last else network,
            network_spec=network_spec,
            classes=classes,
            image_size=image_size,
            mean=mean,
            std=std,
            stored_size=stored_size,
            framing=framing,
        )
        if ema_decay is not None:
            self.averaged = AveragedNetwork(self.network, ema_decay)
        use_small_map_convolutions(self.network)
        if compile:
            self.network.compile()
        self.stages = network_stages(network)
        self.optimizer, self.layerwise_lr = optimizer, layerwise_lr or Equal()
        self.scheduler, self.lr_schedule = scheduler or Constant(), cast(LearningRateSchedule | None, None)
        self.freeze_schedule = freeze or FreezeSchedule()
        self._logged_trainable: list[Stage] = []
        self._gradients: dict[str, Tensor] = {}  # of a checkpoint made between the batches of one step
        self.loss = loss or F.cross_entropy
        self.seed = seed
        self.divergence = DivergenceWatch()
        self.train_progress, self.val_progress = Progress(len(self.classes)), Progress(len(self.classes))
        self.confusion = MulticlassConfusionMatrix(len(self.classes), validate_args=False)

    # Training

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        # Dropout goes by the step, not by what was drawn before it; accumulation repeats a step, hence the index.
        words = np.random.SeedSequence([self.seed, self.global_step, index, self.global_rank]).generate_state(2)
        seed = int(words[0]) << 32 | int(words[1])
        torch.default_generator.manual_seed(seed)  # torch.manual_seed queues seeds for each kind of device not in use
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        logits = self(batch.images).float()
        loss = self.loss(logits, batch.targets)
        self.train_progress.update(loss, logits, batch.labels)
        self._watch(loss, batch.images)
        return loss

    def _watch(self, loss: Tensor, images: Tensor) -> None:
        """Stop at a loss that is not finite: at once where looking is free, else every few steps, on all ranks."""
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
            raise divergence(step, self.current_epoch, self._lr(), str(self.trainer.precision), self.network, images)

    def _lr(self) -> float:
        """The highest learning rate at this step."""
        return max(group["lr"] for group in self.trainer.optimizers[0].param_groups)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        step = self.global_step
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None:
            self.averaged.follow(self.network, step)

    def on_train_start(self) -> None:
        self._freeze()  # Lightning skips on_train_epoch_start where a run resumes within an epoch
        restore_gradients(self.network, self._gradients, self.global_rank)
        self._gradients = {}

    def on_train_epoch_start(self) -> None:
        learning = self._freeze()
        self.log("schedule/trainable_parameters", float(learning))

    def _freeze(self) -> int:
        """Freeze what the schedule says of this epoch; the number of parameters that train."""
        trainable = self.freeze_schedule.trainable_stages(self.current_epoch, self.stages, self.trainer.max_epochs or 1)
        apply_freeze(self.network, self.stages, trainable)
        learning = sum(parameter.numel() for parameter in self.network.parameters() if parameter.requires_grad)
        if self.freeze_schedule.freezes and trainable != self._logged_trainable:
            self._logged_trainable = trainable
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
            for buffer in self.averaged.network.buffers():  # BatchNorm's; DDP broadcasts only those of the raw network
                torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: Batch, _: int) -> None:
        logits = self(batch.images).float()
        self.val_progress.update(F.cross_entropy(logits, batch.labels), logits, batch.labels)
        self.confusion.update(logits, batch.labels)

    def on_validation_epoch_end(self) -> None:
        results = self._log_epoch(self.val_progress, "val")
        if not torch.isfinite(results["loss"]):
            precision = str(self.trainer.precision)
            raise divergence(self.global_step, self.current_epoch, self._lr(), precision, self.network)
        self._log_recalls()

    def _log_recalls(self) -> None:
        """Of each class the share of its validation images that was found; of a class without any, nothing."""
        matrix = self.confusion.compute()  # [K, K], truth by prediction
        recalls, support = matrix.diagonal() / matrix.sum(dim=1).clamp(min=1), matrix.sum(dim=1).tolist()
        shown = zip(self.classes, recalls, support, strict=True)
        self.log_dict({f"val_recall/{name}": recall for name, recall, images in shown if images})

    def _log_epoch(self, progress: Progress, split: str) -> dict[str, Tensor]:
        results = progress.finish()
        self.log_dict({f"{split}/{name}": value for name, value in results.items()}, prog_bar=split == "val")
        return results

    # Optimizer and schedule

    def configure_optimizers(self) -> OptimizerLRScheduler:
        options = {}
        if self.trainer.precision in AUTOCAST and self.trainer.gradient_clip_val:
            # A fused step unscales gradients by itself, after the clipping: Lightning refuses the pair, in bf16 too.
            options = {"fused": False} if "fused" in getattr(self.optimizer, "keywords", {}) else {}
        optimizer = build_optimizer(self.network, self.stages, self.optimizer, self.layerwise_lr, **options)
        if isinstance(self.scheduler, functools.partial):
            return {"optimizer": optimizer, "lr_scheduler": self._torch_scheduler(self.scheduler, optimizer)}
        self.lr_schedule = self._learning_rate_schedule(optimizer)
        scheduler = LambdaLR(optimizer, self.lr_schedule.factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _torch_scheduler(self, scheduler: functools.partial, optimizer: Optimizer) -> Any:
        """One of torch's, which counts epochs, or waits for the validation loss."""
        try:
            built = scheduler(optimizer)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"scheduler: {error}") from error
        # After an epoch's last step: at the epoch's end Lightning would step it after the checkpoint is written.
        each_epoch = {"scheduler": built, "interval": "step", "frequency": planned_batches(self.trainer)}
        return each_epoch | ({"monitor": "val/loss"} if isinstance(built, ReduceLROnPlateau) else {})

    def _learning_rate_schedule(self, optimizer: Optimizer) -> LearningRateSchedule:
        highest = {group["stage"]: group["lr"] for group in optimizer.param_groups}
        epoch_steps, total_steps = planned_steps(self.trainer)
        epochs = max(1, self.trainer.max_epochs or 1)
        starts = [epoch * epoch_steps for epoch, _ in self.freeze_schedule.phases(self.stages, epochs)]
        starts = [start for start in starts if start < total_steps]
        return LearningRateSchedule(highest, self.scheduler, starts, total_steps)

    # Checkpoints: `state_dict` always holds what is evaluated; what only a resumed run needs is beside it.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._stop_if_diverged()
        facts = checkpoint["fer"] = self.facts()
        state = checkpoint["state_dict"]
        resumable = "optimizer_states" in checkpoint
        if resumable:
            facts["train_progress"] = self.train_progress.counts(self._of_ranks)
            if is_accumulating(self.trainer):
                facts["gradients"] = gradients_of_ranks(self.network, self._of_ranks)
            if self.trainer.validating:
                _validate_from_the_start(checkpoint["loops"]["fit_loop"])
        if self.averaged is not None:
            raw = {key: state[key] for key in state if key.startswith("network.")}
            if resumable:
                facts["raw"] = raw
            for key in raw:
                state[key] = state.pop(f"averaged.{key}")

    def _of_ranks(self, value: Tensor) -> Tensor:
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


def _validate_from_the_start(fit_loop: dict[str, Any]) -> None:
    """Mark a checkpoint that is made within a validation so that the whole of it is run again.

    Lightning would validate as many images as were left, but the first ones.
    """
    first = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    fit_loop["epoch_loop.val_loop.batch_progress"] |= {"total": dict(first), "current": dict(first)}
