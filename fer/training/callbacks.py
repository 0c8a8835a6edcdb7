"""Callbacks collect; figure functions draw."""

import logging
import time
from datetime import timedelta
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from fer.device import wait_for
from fer.reporting.figures import confusion_figure, save_figure
from fer.reporting.training_figures import schedule_figure
from fer.runs.folder import RunFolder
from fer.training.module import ExpressionModule

log = logging.getLogger(__name__)


def tensorboard(trainer: Trainer) -> SummaryWriter | None:
    """The event file of a run; None without a TensorBoard logger, or on a rank that writes none."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            return logger.experiment
    return None


class ProgressLine(RichProgressBar):
    """Lightning's progress bar in one line of 80 columns, with validation accuracy as its one metric."""

    def configure_columns(self, trainer: Trainer) -> list:
        return super().configure_columns(trainer)[:-1]  # the speed is in the dashboard

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        found = super().get_metrics(trainer, pl_module)
        return {"val accuracy": f"{found['val/accuracy']:.1%}"} if "val/accuracy" in found else {}


class LearningRates(Callback):
    """A curve of the learning rate for each stage, `learning_rate/<stage>`, while it is not frozen."""

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, index: int) -> None:
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every or trainer.global_step % every:  # 0: never
            return
        groups = trainer.optimizers[0].param_groups
        learning = [group for group in groups if any(parameter.requires_grad for parameter in group["params"])]
        rates = {f"learning_rate/{group['stage']}": group["lr"] for group in learning}
        for logger in trainer.loggers:
            logger.log_metrics(rates, step=trainer.global_step)


class ScheduleFigure(Callback):
    """`figures/schedule.png` in the run folder: the learning rate of each stage, and what is frozen when."""

    def on_train_start(self, trainer: Trainer, module: ExpressionModule) -> None:  # type: ignore[override]
        schedule = module.lr_schedule
        if not trainer.is_global_zero or schedule is None:
            return
        epochs = trainer.max_epochs or 1
        phases = [
            (first, [stage.name for stage in stages])
            for first, stages in module.freeze_schedule.phases(module.stages, epochs)
        ]
        figure = schedule_figure(schedule.highest, schedule.factor, schedule.total_steps, phases, epochs)
        save_figure(figure, RunFolder(trainer.default_root_dir).figures, "schedule")


class EarlyStop(EarlyStopping):
    """Lightning's `EarlyStopping`, whose state survives a resume.

    Lightning's own trains one more epoch where a run was stopped early and its process died before the test, and takes
    the patience of the checkpoint in place of the one that is asked for.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class Throughput(Callback):
    """Training images per second, validation and checkpoints left out.

    `images_per_second` is the median over epochs, the first one left out where there are others (it warms up).
    """

    def __init__(self) -> None:
        self.rates: list[float] = []
        self._images = 0
        self._started = 0.0

    @property
    def images_per_second(self) -> float | None:
        rates = sorted(self.rates[1:] or self.rates)
        return rates[len(rates) // 2] if rates else None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._begin(module)  # a resumed epoch has no start

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._begin(module)

    def _begin(self, module: LightningModule) -> None:
        self._images = 0
        wait_for(module.device)
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self._images += len(batch.labels) * trainer.world_size
        if index + 1 == trainer.num_training_batches:
            wait_for(module.device)
            self.rates.append(self._images / (time.perf_counter() - self._started))

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self.rates:
            module.log("throughput/images_per_second", self.rates[-1], rank_zero_only=True)


class EpochLines(Callback):
    """A line of 80 columns in the log for each epoch: losses, validation accuracy, time left."""

    def __init__(self) -> None:
        self._started = 0.0
        self._first = 0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._started, self._first = time.perf_counter(), trainer.current_epoch

    # An epoch's own end comes before the module has logged its training loss.
    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.current_epoch > self._first:
            self._log(trainer, trainer.current_epoch - 1)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.current_epoch > self._first:
            self._log(trainer, trainer.current_epoch - 1)

    def _log(self, trainer: Trainer, epoch: int) -> None:
        spent = time.perf_counter() - self._started
        left = spent / (epoch + 1 - self._first) * ((trainer.max_epochs or 0) - epoch - 1)
        results = trainer.callback_metrics
        losses = (("loss", "train/loss"), ("val loss", "val/loss"))
        parts = [f"{name} {results[tag]:.3f}" for name, tag in losses if tag in results]
        if "val/accuracy" in results:
            parts.append(f"val acc {float(results['val/accuracy']):.1%}{self._best(trainer)}")
        if trainer.is_global_zero:
            log.info("epoch %d: %s, %s left", epoch, ", ".join(parts), timedelta(seconds=round(left)))

    @staticmethod
    def _best(trainer: Trainer) -> str:
        callback = trainer.checkpoint_callback
        of_accuracy = isinstance(callback, ModelCheckpoint) and callback.monitor == "val/accuracy"
        score = callback.best_model_score if isinstance(callback, ModelCheckpoint) and of_accuracy else None
        return "" if score is None else f" (best {float(score):.1%})"


class SampleImages(Callback):
    """A grid of the first training batch as the network sees it, after augmentation.

    Args:
        count: how many images.
    """

    def __init__(self, count: int = 64) -> None:
        self.count = count

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        writer = tensorboard(trainer)
        if writer is None or trainer.train_dataloader is None:
            return
        batch = trainer.train_dataloader.batch(trainer.current_epoch, 0)
        grid = make_grid(batch.images[: self.count].float().cpu(), nrow=8, padding=2, pad_value=1.0)
        writer.add_image("view_1_training/augmented_batch", grid, trainer.global_step)


class ConfusionMatrix(Callback):
    """The validation confusion matrix as a picture, every few epochs and after the last.

    Args:
        every_n_epochs: how often; drawing costs about a tenth of a second.
    """

    def __init__(self, every_n_epochs: int = 5) -> None:
        self.every_n_epochs = every_n_epochs

    def on_validation_end(self, trainer: Trainer, module: ExpressionModule) -> None:  # type: ignore[override]
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if not (last or (trainer.current_epoch + 1) % self.every_n_epochs == 0):
            return
        matrix = module.confusion.compute().cpu().numpy()  # on every rank, for it synchronises
        writer = tensorboard(trainer)
        if writer is not None:
            figure = confusion_figure(matrix, module.classes, title="validation")
            writer.add_figure("view_1_training/validation_confusion_matrix", figure, trainer.global_step)
