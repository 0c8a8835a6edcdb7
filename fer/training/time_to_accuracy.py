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
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rich.console import Console
from rich.table import Table

from fer.device import device_name
from fer.errors import ConfigError, FERError, RunError
from fer.files import write_json
from fer.instantiate import build
from fer.runs.folder import RunFolder
from fer.training.callbacks import EpochLines, ProgressLine
from fer.training.loggers import build_loggers
from fer.training.peers import Report, export_class_folders, train_fastai, train_torchvision, train_torchvision_fp32
from fer.training.train import build_callbacks, build_data, build_module, choose_stem_and_threads
from fer.training.trainer import quiet_lightning

log = logging.getLogger(__name__)

PROJECT, MATCHED, FP32, FASTAI = "this project", "torchvision", "torchvision_fp32", "fastai"


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
    choose_stem_and_threads(cfg)
    data = build_data(cfg)
    trainer = build(cfg.trainer, "trainer", logger=False, enable_checkpointing=False)
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

    multiprocessing.set_start_method(None, force=True)  # workers of loaders start as in a command of its own
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
