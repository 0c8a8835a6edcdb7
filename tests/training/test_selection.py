"""Which epoch becomes `best.ckpt`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from fer.training.checkpoint import BestCheckpoint

ACCURACY = [0.5, 0.8, 0.8, 0.8, 0.7]
LOSS = [0.9, 0.7, 0.6, 0.65, 0.1]


class Replayed(LightningModule):
    """Has the scores above, one pair an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.layer(torch.ones(1, 1)).sum()

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val/accuracy", torch.tensor(ACCURACY[self.current_epoch]))
        self.log("val/loss", torch.tensor(LOSS[self.current_epoch]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder: Path, epochs: int, last: Path | None = None, **options: Any) -> tuple[int, Path]:
    """Train, from a checkpoint on or anew; the epoch that was selected, and a checkpoint to go on from."""
    best = BestCheckpoint(dirpath=str(folder), **options)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[best],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    loader = DataLoader([0.0])
    trainer.fit(Replayed(), loader, loader, ckpt_path=last, weights_only=False)
    trainer.save_checkpoint(folder / "last.ckpt")
    return torch.load(folder / "best.ckpt", weights_only=True)["epoch"], folder / "last.ckpt"


@pytest.mark.parametrize(("tie", "epoch"), [("val/loss", 2), (None, 1)])
def test_of_equally_accurate_epochs_the_one_with_the_lower_loss(tmp_path: Path, tie: str | None, epoch: int) -> None:
    assert fit(tmp_path, 5, tie=tie)[0] == epoch


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_a_run_that_goes_on_selects_what_it_would_have(tmp_path: Path, epochs: int) -> None:
    _, last = fit(tmp_path, epochs)
    assert fit(tmp_path, 5, last)[0] == 2
