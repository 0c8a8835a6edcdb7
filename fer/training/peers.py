"""Trainings as people write them elsewhere, for `time_to_accuracy` to train beside this project's.

Each calls `report` with its accuracy on validation after every epoch.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from PIL import Image
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from fer.data.datamodule import FERDataModule
from fer.device import autocast
from fer.instantiate import build
from fer.models.network import build_network
from fer.training.train import build_data

Report = Callable[[float], None]  # called with the accuracy on validation after each epoch; returns at the next turn


def export_class_folders(data: FERDataModule, folder: Path, rows: np.ndarray) -> None:
    """Write images as PNG files in a folder for each class, as ImageFolder wants them.

    Args:
        rows: of the pack.
    """
    assert data.pack is not None, "setup comes first"
    for name in data.classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for row in rows:
        Image.fromarray(data.pack.images[row]).save(folder / data.classes[data.labels[row]] / f"{row}.png")


def _network_and_facts(cfg: DictConfig) -> tuple[nn.Module, FERDataModule, torch.device, str]:
    """The same network from the same random weights for every contender; data, device, precision."""
    data = build_data(cfg)
    network = build_network(cfg.model, data.classes, data.channels, pretrained=True)
    trainer = build(cfg.trainer, "trainer", logger=False, enable_checkpointing=False)
    return network, data, trainer.strategy.root_device, str(trainer.precision)


def train_torchvision_fp32(cfg: DictConfig, images: Path, report: Report) -> None:
    """`train_torchvision` as people mostly run it."""
    train_torchvision(cfg, images, report, precision="32-true")


def train_torchvision(cfg: DictConfig, images: Path, report: Report, precision: str | None = None) -> None:
    """ImageFolder, mirrored and shifted crops, DataLoader, SGD with a cosine of the learning rate: a plain loop.

    Args:
        images: folders `train` and `val` with a folder for each class.
        precision: None for that of the trainer.
    """
    network, data, device, of_trainer = _network_and_facts(cfg)
    precision = precision or of_trainer
    network = network.to(device)
    if precision != "32-true":
        network = network.to(memory_format=torch.channels_last)
    grey = [transforms.Grayscale()] if data.channels == 1 else []
    last = [transforms.Resize((data.image_size,) * 2), transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
    crop = transforms.RandomCrop(data.stored_size, padding=data.stored_size // 12, padding_mode="edge")
    augment = [transforms.RandomHorizontalFlip(), crop]
    workers = min(os.cpu_count() or 1, 8)
    options: dict[str, Any] = {
        "batch_size": cfg.data.batch_size,
        "num_workers": workers,
        "pin_memory": device.type == "cuda",
    }
    train = DataLoader(
        datasets.ImageFolder(str(images / "train"), transforms.Compose([*grey, *augment, *last]), allow_empty=True),
        shuffle=True,
        drop_last=True,
        **options,
    )
    val = DataLoader(
        datasets.ImageFolder(str(images / "val"), transforms.Compose([*grey, *last]), allow_empty=True), **options
    )
    lr, epochs = cfg.peer_lr.torchvision, cfg.trainer.max_epochs
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(train))
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "16-mixed")
    for _ in range(epochs):
        network.train()
        for faces, labels in train:
            with autocast(device, precision):
                logits = network(faces.to(device, non_blocking=True))
                loss = F.cross_entropy(logits.float(), labels.to(device, non_blocking=True))
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()
        report(_accuracy(network, val, device, precision))


@torch.no_grad()
def _accuracy(network: nn.Module, loader: DataLoader, device: torch.device, precision: str) -> float:
    network.eval()
    right = 0
    for faces, labels in loader:
        with autocast(device, precision):
            right += int((network(faces.to(device)).argmax(1).cpu() == labels).sum())
    return right / len(loader.dataset)  # type: ignore[arg-type]


def train_fastai(cfg: DictConfig, images: Path, report: Report) -> None:
    """fastai 2 as its documentation teaches it: `aug_transforms`, `Learner`, `fit_one_cycle`.

    Args:
        images: folders `train` and `val` with a folder for each class.
    """
    from fastai.callback.core import Callback as FastaiCallback  # not a dependency
    from fastai.vision import all as fastai

    class EachEpoch(FastaiCallback):
        order = 100  # after its Recorder

        def after_epoch(self) -> None:
            report(float(self.learn.recorder.values[-1][-1]))

    network, data, device, _ = _network_and_facts(cfg)
    normalize = fastai.Normalize.from_stats(list(data.mean), list(data.std), cuda=device.type == "cuda")
    loaders = fastai.ImageDataLoaders.from_folder(
        images,
        train="train",
        valid="val",
        bs=cfg.data.batch_size,
        img_cls=fastai.PILImageBW if data.channels == 1 else fastai.PILImage,
        item_tfms=fastai.Resize(data.image_size),
        batch_tfms=[*fastai.aug_transforms(), normalize],
        device=device,
    )
    learner = fastai.Learner(
        loaders, network, loss_func=fastai.CrossEntropyLossFlat(), metrics=fastai.accuracy, path=images
    )
    lr = cfg.peer_lr.fastai
    with learner.no_bar(), learner.no_logging():
        if lr is None:
            lr = float(learner.lr_find(show_plot=False).valley)
            Console().print(f"fastai: its lr_find suggests a rate of {lr:.1e}", highlight=False)
        learner.fit_one_cycle(cfg.trainer.max_epochs, lr, cbs=EachEpoch())
