"""A callback that tests name in configs: what each rank holds at the end."""

import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class KeepWeights(Callback):
    """Write each rank's state to `<folder>/rank<r>.pt`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        torch.save(module.state_dict(), f"{self.folder}/rank{trainer.global_rank}.pt")
