"""Small trainings of a classifier on faces told apart by brightness."""

import logging

import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import nn

from fer.data.augment import Mix
from fer.data.loader import DeviceLoader, class_shares
from fer.models.network import timm_network
from fer.training.module import ExpressionModule

OURS = "fer.models.network.timm_network"
SPEC = {"_target_": OURS, "backbone": "test_resnet", "num_classes": 3, "in_chans": 1, "weights": "none"}
CLASSES = ["angry", "happy", "neutral"]


def make(network: nn.Module | None = None, spec: dict | None = None, **options) -> ExpressionModule:
    torch.manual_seed(0)
    return ExpressionModule(
        network or timm_network("test_resnet", num_classes=3, weights="none"),
        network_spec=spec or SPEC,
        classes=CLASSES,
        image_size=32,
        mean=[0.4],
        std=[0.2],
        **options,
    )


def make_loader(shuffle: bool, mix: Mix | None = None) -> DeviceLoader:
    """24 images of 3 classes, told apart by their brightness."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(24) % 3
    images = torch.randint(0, 60, (24, 1, 32, 32), generator=generator) + 80 * labels.view(-1, 1, 1, 1)
    rows, options = torch.arange(24), {"batch_size": 8, "image_size": 32, "shuffle": shuffle}
    return DeviceLoader(images.to(torch.uint8), labels, rows, **options, mix=mix, targets=class_shares(labels, 3))


class Faces(LightningDataModule):
    def __init__(self, mix: Mix | None = None) -> None:
        super().__init__()
        self.mix = mix

    def train_dataloader(self) -> DeviceLoader:
        loader = make_loader(shuffle=True, mix=self.mix)
        loader.epoch = lambda: self.trainer.current_epoch
        return loader

    def val_dataloader(self) -> DeviceLoader:
        return make_loader(shuffle=False)


def trained_and_saved(run):
    """A classifier trained for an epoch, and its checkpoint in a run folder."""
    classifier = make()
    path = run / "checkpoints" / "best.ckpt"
    fit(classifier, run).save_checkpoint(path)
    return classifier.eval(), path


def fit(classifier, folder, *callbacks, checkpoint=None, mix=None, **options):
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=bool(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **{"max_epochs": 1, **options},
    )
    trainer.fit(classifier, datamodule=Faces(mix), ckpt_path=checkpoint, weights_only=True)
    return trainer
