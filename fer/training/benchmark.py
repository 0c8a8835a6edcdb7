"""Throughput of training against its ceiling, and against the loader that people usually write.

Contenders take turns within each round, and ratios are formed within a round, so that a machine whose speed
drifts does not favour one of them.
"""

import itertools
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from fer.data.datamodule import FERDataModule
from fer.device import autocast, device_name, peak_memory_bytes, wait_for
from fer.errors import ConfigError
from fer.files import write_json
from fer.instantiate import build
from fer.models.network import build_network
from fer.models.stages import parameter_groups
from fer.runs.folder import RunFolder
from fer.training.callbacks import EpochLines, ProgressLine
from fer.training.loggers import build_loggers
from fer.training.module import ExpressionModule
from fer.training.peers import export_class_folders
from fer.training.train import build_callbacks, build_data, build_module
from fer.training.trainer import quiet_lightning

log = logging.getLogger(__name__)

BARE, OURS, ORDINARY, ORDINARY_FP32 = "bare step", "this project", "ImageFolder, matched", "ImageFolder, fp32"
MEANING = {
    BARE: "forward, backward, optimizer step on one resident random batch: the ceiling",
    OURS: "the training loop with data, augmentation, metrics, logging",
    ORDINARY: "torchvision ImageFolder, transforms and DataLoader, plain loop, same precision and memory format",
    ORDINARY_FP32: "the same as people mostly run it: fp32, default memory format",
}
Contenders = Mapping[str, Callable[[], float]]  # by name: a turn -> images/s


def benchmark(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Time all contenders in turn; print a table and write `benchmark.json`.

    Returns:
        The content of `benchmark.json`.

    Raises:
        FERError: a number that cannot work, fewer images than a batch, anything a training refuses.
    """
    if cfg.rounds < 1 or cfg.steps < 1 or cfg.warmup_steps < 0:
        numbers = f"rounds={cfg.rounds}, steps={cfg.steps}, warmup_steps={cfg.warmup_steps}"
        raise ConfigError(f"{numbers}: give 1, 1 and 0 or more")
    quiet_lightning()
    data = build_data(cfg)
    trainer = build(cfg.trainer, "trainer", logger=False, enable_checkpointing=False)
    device, precision = trainer.strategy.root_device, trainer.precision
    with _contenders(cfg, data, RunFolder(folder), device, precision) as contenders:
        results = summarise(*_take_turns(contenders, cfg.rounds, device), cfg.data.batch_size)
    results["settings"] = {
        "device": device_name(device),
        "precision": precision,
        "torch": torch.__version__,
        "model": cfg.model.get("backbone", cfg.model.get("_target_")),
        "image_size": data.image_size,
        "batch_size": cfg.data.batch_size,
        "rounds": cfg.rounds,
        "steps": cfg.steps,
    }
    write_json(folder / "benchmark.json", results)
    print_results(results)
    log.info("written to %s", folder / "benchmark.json")
    return results


@contextmanager
def _contenders(
    cfg: DictConfig, data: FERDataModule, run: RunFolder, device: torch.device, precision: str
) -> Iterator[Contenders]:
    """What is timed, while the images for ImageFolder are on disk.

    Raises:
        ConfigError: fewer images than a batch.
    """
    images, batch_size = len(data.splits["train"]), cfg.data.batch_size
    if min(cfg.images, images) < batch_size:
        raise ConfigError(
            f"a batch of {batch_size} cannot be filled from {min(cfg.images, images)} images (images={cfg.images}, "
            f"{images} to train on); give a smaller data.batch_size or more images"
        )
    module = build_module(cfg, data, pretrained=False)
    with tempfile.TemporaryDirectory(prefix="fer-benchmark-") as exported:
        rows = np.random.default_rng(0).permutation(data.splits["train"])[: cfg.images]
        export_class_folders(data, Path(exported), rows)
        folder = Path(exported)
        yield {
            BARE: lambda: _bare(cfg, data, module.network, device, precision),
            OURS: lambda: _ours(cfg, data, module, run),
            ORDINARY: lambda: _ordinary(cfg, data, folder, device, precision, cfg.module.channels_last),
            ORDINARY_FP32: lambda: _ordinary(cfg, data, folder, device, "32-true", channels_last=False),
        }


def _take_turns(
    contenders: Contenders, rounds: int, device: torch.device
) -> tuple[dict[str, list[float]], dict[str, int | None]]:
    """Images/s of each contender in each round, and the most memory it held, bytes."""
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    peaks: dict[str, int | None] = {}
    for turn, (name, images_per_second) in itertools.product(range(rounds), contenders.items()):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        speeds[name].append(images_per_second())
        peaks[name] = peak_memory_bytes(device)
        log.info("round %d of %d: %-22s %8.1f images/s", turn + 1, rounds, name, speeds[name][-1])
    return speeds, peaks


def summarise(
    speeds: Mapping[str, Sequence[float]], peaks: Mapping[str, int | None], batch_size: int
) -> dict[str, Any]:
    """Medians over rounds; ratios and overheads are formed within each round first.

    Args:
        speeds: images/s of each contender in each round.
        peaks: most memory held, bytes: of the contender on a GPU, of the process so far on a CPU.
        batch_size: images a step.
    """
    pairs = {other: list(zip(speeds[OURS], speeds[other], strict=True)) for other in (BARE, ORDINARY, ORDINARY_FP32)}
    contenders = {
        name: {
            "images_per_second": median(values),
            "rounds": values,
            "peak_memory_bytes": peaks[name],
            "meaning": MEANING[name],
        }
        for name, values in speeds.items()
    }
    return {
        "contenders": contenders,
        "ratios": {f"{OURS} / {other}": median(ours / theirs for ours, theirs in pairs[other]) for other in pairs},
        "overhead_ms_per_step": median(1000 * batch_size * (1 / ours - 1 / bare) for ours, bare in pairs[BARE]),
    }


def print_results(results: dict[str, Any]) -> None:
    """The table of medians, then ratios."""
    settings = results["settings"]
    title = f"{settings['model']}, {settings['image_size']} px, batch {settings['batch_size']}, {settings['precision']}"
    table = Table("", title=f"{title}, {settings['device']}", box=None)
    for heading in ("images/s", "lowest", "highest", "peak memory"):
        table.add_column(heading, justify="right")
    for name, row in results["contenders"].items():
        rounds = row["rounds"]
        peak = "" if row["peak_memory_bytes"] is None else f"{row['peak_memory_bytes'] / 2**30:.2f} GiB"
        table.add_row(name, *(f"{n:,.1f}" for n in (row["images_per_second"], min(rounds), max(rounds))), peak)
    console = Console()
    console.print(table)
    for name, ratio in results["ratios"].items():
        console.print(f"{name:<38} {ratio:.2f}", highlight=False)
    console.print(f"overhead over the bare step: {results['overhead_ms_per_step']:.1f} ms", highlight=False)


def _bare(cfg: DictConfig, data: FERDataModule, network: nn.Module, device: torch.device, precision: str) -> float:
    images = torch.randn((cfg.data.batch_size, data.channels, data.image_size, data.image_size), device=device)
    labels = torch.randint(len(data.classes), (cfg.data.batch_size,), device=device)
    step = _training_step(cfg, network.to(device), device, precision)
    return _images_per_second(cfg, lambda: step(images, labels), device)


def _ours(cfg: DictConfig, data: FERDataModule, module: ExpressionModule, run: RunFolder) -> float:
    clock = _Clock(cfg.warmup_steps, cfg.steps)
    left_out = (Checkpoint, EpochLines, ProgressLine)  # there is no end of the run to count towards
    callbacks = [callback for callback in build_callbacks(cfg, run) if not isinstance(callback, left_out)]
    trainer = build(
        cfg.trainer,
        "trainer",
        callbacks=[*callbacks, clock],
        logger=build_loggers(cfg, run),
        default_root_dir=str(run.path),
        accumulate_grad_batches=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit_loop.max_epochs = None
    trainer.fit_loop.epoch_loop.max_steps = cfg.warmup_steps + cfg.steps
    trainer.limit_val_batches = 0
    trainer.fit(module, datamodule=data)
    return cfg.steps * cfg.data.batch_size / clock.seconds


class _Clock(Callback):
    """Seconds of the steps after the warm-up."""

    def __init__(self, warmup_steps: int, steps: int) -> None:
        self.first, self.last = warmup_steps, warmup_steps + steps
        self.seconds = 0.0
        self._started = 0.0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        wait_for(module.device)
        self._started = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        if trainer.global_step in (self.first, self.last):
            wait_for(module.device)
            self.seconds = time.perf_counter() - self._started
            self._started = time.perf_counter()


def _image_folder(data: FERDataModule, images: Path, batch_size: int, pin_memory: bool) -> DataLoader:
    """What people usually write, with the augmentation of `augment=standard`."""
    transform = transforms.Compose(
        [
            *([transforms.Grayscale()] if data.channels == 1 else []),
            transforms.RandomHorizontalFlip(),
            transforms.RandomAffine(12, translate=(0.06, 0.06), scale=(0.9, 1.15)),
            transforms.Resize((data.image_size, data.image_size)),
            transforms.ColorJitter(brightness=0.15, contrast=0.25),
            transforms.ToTensor(),
            transforms.Normalize(data.mean, data.std),
            transforms.RandomErasing(0.25),
        ]
    )
    return DataLoader(
        datasets.ImageFolder(str(images), transform, allow_empty=True),
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=min(os.cpu_count() or 1, 8),
        pin_memory=pin_memory,
        persistent_workers=True,
    )


def _ordinary(
    cfg: DictConfig, data: FERDataModule, images: Path, device: torch.device, precision: str, channels_last: bool
) -> float:
    network = build_network(cfg.model, data.classes, data.channels, pretrained=False).to(device)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    step = _training_step(cfg, network, device, precision)
    loader = _image_folder(data, images, cfg.data.batch_size, pin_memory=device.type == "cuda")
    batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def fed_step() -> None:
        faces, labels = next(batches)
        step(faces.to(device, non_blocking=True), labels.to(device, non_blocking=True))

    return _images_per_second(cfg, fed_step, device)


def _training_step(
    cfg: DictConfig, network: nn.Module, device: torch.device, precision: str
) -> Callable[[Tensor, Tensor], None]:
    optimizer = build(cfg.optimizer, "optimizer")(parameter_groups(network))
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "16-mixed")
    network.train()

    def step(images: Tensor, labels: Tensor) -> None:
        with autocast(device, precision):
            loss = F.cross_entropy(network(images).float(), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    return step


def _images_per_second(cfg: DictConfig, step: Callable[[], None], device: torch.device) -> float:
    for _ in range(cfg.warmup_steps):
        step()
    wait_for(device)
    started = time.perf_counter()
    for _ in range(cfg.steps):
        step()
    wait_for(device)
    return cfg.steps * cfg.data.batch_size / (time.perf_counter() - started)
