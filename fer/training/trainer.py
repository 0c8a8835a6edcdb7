"""A Trainer whose defaults are fast on this machine, and a fit that can be stopped without loss."""

import logging
import os
import re
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from fer.device import accelerator_kind, best_precision, keep_freed_memory, known_precision, set_gpu_precision
from fer.errors import ConfigError
from fer.instantiate import check_numbers
from fer.training.checkpoint import AtomicCheckpointIO

log = logging.getLogger(__name__)

TERMINATED, INTERRUPTED = 143, 130  # exit statuses: 128 and the signal's number

# Lines of Lightning that say nothing about the run: advertisements, and what our own lines say already.
CHATTER = (
    "💡",
    "available:",
    "litlogger",
    "Automatic Mixed",
    "to estimate number",
    "Trainer.fit` stopped",
    "was configured so",
    "graceful shutdown",
    "was raised with message",
    "Received SIGTERM",
)


def build_trainer(
    *,
    accelerator: str = "auto",
    precision: str = "auto",
    matmul_precision: str = "high",
    threads: int | None = None,
    **options: Any,
) -> Trainer:
    """A Lightning Trainer on a GPU if there is one, in mixed precision where the device gains from it.

    Args:
        accelerator: `auto`, `gpu`, `cpu`, `mps`.
        precision: `auto`, or one of `fer.device.PRECISIONS`; weights are fp32 in each of them.
        matmul_precision: of fp32 products and convolutions on a GPU: `highest`, `high` (TF32), `medium`.
        threads: of PyTorch on the CPU; None leaves as many as it takes by itself.
        options: all other arguments of `pytorch_lightning.Trainer`.

    Raises:
        ConfigError: a device that is not there, another precision, or options that the Trainer refuses.
    """
    kind = accelerator_kind() if accelerator == "auto" else accelerator
    _check_visible(kind)
    precision = best_precision(kind) if precision == "auto" else known_precision(str(precision))
    if kind == "gpu":
        set_gpu_precision(matmul_precision)
    if kind == "cpu":
        keep_freed_memory()
        if threads is not None:
            if threads < 1:
                raise ConfigError(f"trainer.threads={threads}: give 1 or more")
            torch.set_num_threads(threads)
        _check_processes(options.get("devices"))
    check_numbers(Trainer, options, "trainer")
    # Without one of its own, Lightning would put its default bar in the place of one that was taken away.
    options.setdefault("enable_progress_bar", any(isinstance(c, ProgressBar) for c in options.get("callbacks") or ()))
    if options.get("max_epochs", 1) is None or options.get("max_epochs", 1) < 1:
        raise ConfigError(f"trainer.max_epochs={options['max_epochs']}: schedules need a number of 1 or more")
    try:
        return Trainer(accelerator=kind, precision=precision, plugins=[AtomicCheckpointIO()], **options)  # type: ignore[arg-type]
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error


def _check_visible(kind: str) -> None:
    """Raises ConfigError where there is no such GPU."""
    cuda = torch.cuda.is_available()
    here = {"gpu": cuda, "cuda": cuda, "mps": torch.backends.mps.is_available()}
    if not here.get(kind, True):
        what = "Mac's GPU" if kind == "mps" else "CUDA GPU"
        raise ConfigError(
            f"trainer.accelerator={kind}, but no {what} is visible here; give trainer.accelerator=auto or "
            "trainer.accelerator=cpu, with which a run resumes too"
        )


def _check_processes(devices: Any) -> None:
    """Raises ConfigError where more processes would train than there are cores: each loads PyTorch."""
    cores = max(2, os.cpu_count() or 1)
    if str(devices).isdecimal() and int(devices) > cores:
        raise ConfigError(f"trainer.devices={devices}: on the CPU each is a process; give {cores} or fewer here")


@contextmanager
def sizes_told(batch_size: int, image_size: int) -> Iterator[None]:
    """Tell of batches that are too small for BatchNorm, and of images of a size that the network does not take.

    BatchNorm needs more than one value for each channel; a vision transformer has a position for each patch.

    Args:
        batch_size: images a training step, on each device.
        image_size: side of training images, pixels.

    Raises:
        ConfigError: the network has BatchNorm over single values, or takes images of another size.
    """
    try:
        yield
    except (ValueError, AssertionError) as error:
        if wanted := re.search(r"doesn't match model \((\d+)", str(error)):
            raise ConfigError(
                f"images of {image_size} px: this network takes those of {wanted[1]} px alone: give data.image_size="
                f"{wanted[1]}, and no data.train_image_size"
            ) from error
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigError(
            f"training steps have {batch_size} image: with images of {image_size} px this network's BatchNorm needs "
            "data.batch_size=2 or more (and as many training images), or larger images (data.image_size)"
        ) from error


def quiet_lightning() -> None:
    """Drop Lightning's advertisements and the warnings that do not apply to loaders without workers."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: not any(word in record.getMessage() for word in CHATTER)
    )
    for message in (
        ".*does not have many workers.*",
        ".*`isinstance\\(treespec, LeafSpec\\)`.*",
        ".*sync_dist.*",
        ".*logging interval.*",
        ".*exists and is not empty.*",  # a resumed run finds its checkpoints there
    ):
        warnings.filterwarnings("ignore", message)


class Stop:
    """Who asked for the stop, as an exit status."""

    status = TERMINATED


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Make the first Ctrl-C what SIGTERM is to Lightning: a stop after the current step; a second one stops at once.

    Lightning's own handling of Ctrl-C breaks off within a step, from which no run resumes exactly.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        waiting = signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN, None)
        if stop.status == INTERRUPTED or not waiting:
            stop.status = INTERRUPTED
            raise KeyboardInterrupt
        stop.status = INTERRUPTED
        log.warning("stopping after this step; Ctrl-C again stops at once, without saving")
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
