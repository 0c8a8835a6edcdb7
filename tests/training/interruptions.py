"""Callbacks that end a run the hard way; named in the configs of tests."""

import os
import signal

from pytorch_lightning import Callback, LightningModule, Trainer


class SignalAt(Callback):
    """Send this process a signal when so many steps are done.

    Args:
        step: optimizer steps done.
        signal_name: SIGKILL, SIGTERM, SIGINT.
    """

    def __init__(self, step: int, signal_name: str) -> None:
        self.step, self.signal_name = step, signal_name

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: object, index: int) -> None:
        if trainer.global_step == self.step and trainer.is_global_zero:
            os.kill(os.getpid(), getattr(signal, self.signal_name))


class RaiseAt(Callback):
    """Raise within a step, when so many are done; with `validating`, in the first validation after them."""

    def __init__(self, step: int, validating: bool = False) -> None:
        self.step, self.validating = step, validating

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: object, index: int) -> None:
        if trainer.global_step == self.step and not self.validating:
            raise RuntimeError("crashed")

    def on_validation_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: object, index: int, dataloader_index: int = 0
    ) -> None:
        if trainer.global_step >= self.step and self.validating:
            raise RuntimeError("crashed")
