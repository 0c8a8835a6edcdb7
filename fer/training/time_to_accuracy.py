"""What a training costs until it is right often enough on validation: here, and as people write it elsewhere.

Contenders take turns of one epoch, each in a process of its own, so that a machine whose speed drifts favours none.
"""

import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from fer.data.datamodule import FERDataModule
from fer.device import autocast, choose_threads, device_name
from fer.errors import ConfigError, FERError, RunError
from fer.files import write_json
from fer.instantiate import build
from fer.models.network import build_network
from fer.runs.folder import RunFolder
from fer.training.benchmark import export_class_folders
from fer.training.callbacks import EpochLines, ProgressLine
from fer.training.loggers import build_loggers
from fer.training.train import build_callbacks, build_data, build_module
from fer.training.trainer import quiet_lightning

log = logging.getLogger(__name__)

PROJECT, MATCHED, FP32, FASTAI = "this project", "torchvision", "torchvision_fp32", "fastai"
Report = Callable[[float], None]  # called with the accuracy on validation after each epoch; returns at the next turn


class Epoch(NamedTuple):
    """Where a contender stands after an epoch and its validation."""

    accuracy: float  # on validation
    processor_seconds: float  # of its process and its workers, from their start
    seconds: float  # of its own turns


def time_to_accuracy(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Train all contenders in turn until each has the highest of `targets`; print a table, write `benchmark.json`.

    Packing and writing the images as files are not counted, for none of them. The file is written anew after each
    round, so that a benchmark that is stopped leaves what it has.

    Returns:
        The content of `benchmark.json`: of each contender its epochs, and what each target took.

    Raises:
        FERError: an epoch that is not validated, anything a training refuses.
    """
    quiet_lightning()
    data = build_data(cfg)
    trainer = build(cfg.trainer, "trainer", logger=False, enable_checkpointing=False)
    if cfg.trainer.get("threads") is None and trainer.strategy.root_device.type == "cpu":
        cfg.trainer.threads = choose_threads()
    settings = {
        "device": device_name(trainer.strategy.root_device),
        "precision": str(trainer.precision),
        "torch": torch.__version__,
        "model": cfg.model.get("backbone", cfg.model.get("_target_")),
        "image_size": data.image_size,
        "max_epochs": cfg.trainer.max_epochs,
        "peer_lr": dict(cfg.peer_lr),
    }
    with tempfile.TemporaryDirectory(prefix="fer-benchmark-") as images:
        for split in ("train", "val"):
            export_class_folders(data, Path(images, split), data.splits[split])
        for epochs in _rounds(_contenders(cfg, Path(images), folder), cfg.trainer.max_epochs, max(cfg.targets)):
            results = {**times_to(sorted(cfg.targets), epochs), "settings": settings}
            write_json(folder / "benchmark.json", results)
    print_times(results)
    log.info("written to %s", folder / "benchmark.json")
    return results


def times_to(targets: Sequence[float], epochs: Mapping[str, Sequence[Epoch]]) -> dict[str, Any]:
    """What each target took each contender: its first epoch that is at least as good; None where none is."""

    def first(found: Sequence[Epoch], target: float) -> dict[str, Any] | None:
        reached = (number for number, epoch in enumerate(found) if epoch.accuracy >= target)
        number = next(reached, None)
        return None if number is None else {"epoch": number + 1, **found[number]._asdict()}

    return {
        "targets": list(targets),
        "contenders": {
            name: {"epochs": [each._asdict() for each in found], "targets": [first(found, t) for t in targets]}
            for name, found in epochs.items()
        },
    }


def print_times(results: Mapping[str, Any]) -> None:
    """A row for each contender: minutes to each target, and how many times those of this project."""
    settings, ours = results["settings"], results["contenders"][PROJECT]["targets"]
    processor = not settings["device"].startswith("cuda")
    unit = "processor_seconds" if processor else "seconds"
    title = f"{'processor ' if processor else ''}minutes to an accuracy on validation: {settings['model']}, "
    table = Table("", title=f"{title}{settings['image_size']} px, {settings['device']}", box=None)
    for target in results["targets"]:
        table.add_column(f"{target:.0%}", justify="right")
    table.add_column(f"best of {settings['max_epochs']} epochs", justify="right")
    for name, found in results["contenders"].items():
        cells = []
        for mine, own in zip(found["targets"], ours, strict=True):
            times = f" ({mine[unit] / own[unit]:.1f} times)" if mine and own and name != PROJECT else ""
            cells.append(f"{mine[unit] / 60:.1f}{times}" if mine else "not reached")
        table.add_row(name, *cells, f"{max(each['accuracy'] for each in found['epochs']):.1%}")
    Console().print(table)


Train = Callable[[DictConfig, Path, Report], None]


def _contenders(cfg: DictConfig, images: Path, folder: Path) -> dict[str, tuple[Train, DictConfig, Path]]:
    """What trains, with its arguments, by name."""
    peers = {MATCHED: train_torchvision, FP32: train_torchvision_fp32, FASTAI: train_fastai}
    chosen = {name: train for name, train in peers.items() if cfg.peers is None or name in cfg.peers}
    if FASTAI in chosen and find_spec("fastai") is None:
        log.warning("fastai is not installed, so it does not take part: pip install fastai")
        del chosen[FASTAI]
    return {PROJECT: (train_project, cfg, folder / "project")} | {n: (t, cfg, images) for n, t in chosen.items()}


def _rounds(
    contenders: Mapping[str, tuple[Train, DictConfig, Path]], max_epochs: int, enough: float
) -> Iterator[dict[str, list[Epoch]]]:
    """Epochs of each contender so far, after each round; one that is good enough has stopped."""
    epochs: dict[str, list[Epoch]] = {name: [] for name in contenders}
    seconds = dict.fromkeys(contenders, 0.0)
    with _processes(contenders) as connections:
        for number in range(1, max_epochs + 1):
            for name, connection in connections.items():
                if epochs[name] and epochs[name][-1].accuracy >= enough:
                    continue
                started = time.perf_counter()
                accuracy, processor_seconds = _turn(name, connection)
                seconds[name] += time.perf_counter() - started
                epochs[name].append(Epoch(accuracy, processor_seconds, seconds[name]))
                log.info(
                    "epoch %d of %d: %-17s %5.1f%% of validation right after %.1f processor minutes",
                    *(number, max_epochs, name, 100 * accuracy, processor_seconds / 60),
                )
            yield epochs


@contextmanager
def _processes(contenders: Mapping[str, tuple[Train, DictConfig, Path]]) -> Iterator[dict[str, Connection]]:
    """A process for each contender, which waits for its first turn; ended at the end, whatever happens."""
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    try:
        for name, arguments in contenders.items():
            connections[name], end = context.Pipe()
            processes.append(context.Process(target=_contend, args=(*arguments, end)))
            processes[-1].start()
            end.close()  # else its death would not be noticed
        yield connections
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def _turn(name: str, connection: Connection) -> tuple[float, float]:
    """Let a contender train an epoch: its accuracy and its processor seconds so far.

    Raises:
        FERError: what it refuses.
        RunError: its process died.
    """
    try:
        connection.send("your turn")
        answer = connection.recv()
    except (EOFError, OSError) as error:
        raise RunError(f"{name}: its process ended before its epoch did; what it printed says why") from error
    if isinstance(answer, FERError):
        raise answer
    accuracy, processor_seconds = answer
    return accuracy, processor_seconds


def _contend(train: Train, cfg: DictConfig, folder: Path, connection: Connection) -> None:
    """A process: trains, and waits for its turn ahead of every epoch."""

    def report(accuracy: float) -> None:
        connection.send((accuracy, sum(os.times()[:4])))
        connection.recv()

    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):  # the command that asked is gone
        connection.recv()
        try:
            if "threads" in cfg.trainer and cfg.trainer.threads:
                torch.set_num_threads(cfg.trainer.threads)
            quiet_lightning()
            seed_everything(cfg.seed, verbose=False)
            train(cfg, folder, report)
        except FERError as error:
            connection.send(error)


def train_project(cfg: DictConfig, folder: Path, report: Report) -> None:
    """The training of `scripts/train.py` by the same config, without its lines on the console.

    Args:
        folder: for its checkpoints and logs.
    """
    data, run = build_data(cfg), RunFolder(folder)
    module = build_module(cfg, data)
    callbacks = [each for each in build_callbacks(cfg, run) if not isinstance(each, EpochLines | ProgressLine)]
    trainer = build(
        cfg.trainer,
        "trainer",
        callbacks=[*callbacks, _EachEpoch(report)],
        logger=build_loggers(cfg, run),
        default_root_dir=str(folder),
        enable_progress_bar=False,
    )
    trainer.fit(module, datamodule=data)


class _EachEpoch(Callback):
    """Reports the accuracy of every validation."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if "val/accuracy" not in trainer.callback_metrics:
            raise ConfigError("no epoch was validated, so its accuracy is not known (trainer.limit_val_batches)")
        self.report(float(trainer.callback_metrics["val/accuracy"]))


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
