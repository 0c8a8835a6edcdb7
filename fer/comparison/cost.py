"""How fast networks answer on this machine: one image at a time, and in batches."""

import logging
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.progress import track
from torch import nn

from fer.comparison.groups import Group
from fer.device import accelerator_kind, device_name, fp32_without_tf32, wait_for
from fer.errors import FERError
from fer.evaluation.cost import multiply_accumulates
from fer.models.load import OWN_BUILDER
from fer.models.network import timm_network

BATCH = 64
PATIENCE = 2.0  # seconds of measuring, after a warm-up
MOST, LEAST = 50, 3  # passes timed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cost:
    """Of one network at one image size."""

    parameters: int
    macs: int  # of one image
    latency_ms: float  # one image, median
    images_per_second: float  # batches of 64, median


def measured_on() -> str:
    """What the figures hold for."""
    return f"{device_name(_device())}, fp32, torch {torch.__version__}"


def _device() -> torch.device:
    return torch.device("cuda" if accelerator_kind() == "gpu" else "cpu")


def measure(groups: Sequence[Group]) -> list[Cost | None]:
    """Of each row; None where its network is not one that we build ourselves. Equal networks are timed once.

    Networks are built anew with random weights, for a config is never allowed to name code that we then run.
    """
    keys = [_network_of(group) for group in groups]
    distinct = list(dict.fromkeys(key for key in keys if key is not None))
    costs = {key: _cost(dict(key)) for key in track(distinct, description="timing networks", transient=True)}
    return [None if key is None else costs[key] for key in keys]


def _network_of(group: Group) -> tuple | None:
    """Arguments of the network and its image size, as items."""
    config = group.runs[0].config
    model, size = config["model"], config["data"].get("image_size")
    if model.get("_target_") != OWN_BUILDER or not isinstance(size, int) or not group.classes:
        return None
    kept = {key: model[key] for key in ("backbone", "stem") if isinstance(model.get(key), str)}
    parameters = group.runs[0].metrics.get("parameters")
    return tuple({**kept, "num_classes": len(group.classes), "image_size": size, "parameters": parameters}.items())


def _cost(arguments: dict[str, Any]) -> Cost | None:
    size, parameters = arguments.pop("image_size"), arguments.pop("parameters")
    device = _device()
    try:
        with torch.random.fork_rng(devices=[]):
            network, channels = timm_network(**arguments, weights="none").eval(), 1
            if parameters not in (None, _parameters(network)):  # a config does not say whether faces have colour
                network, channels = timm_network(**arguments, in_chans=3, weights="none").eval(), 3
        macs = multiply_accumulates(network, channels, size)
        network = network.to(device).to(memory_format=torch.channels_last)
        one, many = (torch.rand(count, channels, size, size, device=device) for count in (1, BATCH))
        with fp32_without_tf32():
            latency, of_batch = _seconds(network, one), _seconds(network, many)
    except (FERError, RuntimeError, TypeError, ValueError, AssertionError) as error:
        log.warning("%s is not timed: %s", arguments.get("backbone"), " ".join(str(error).split())[:200])
        return None
    return Cost(
        parameters=_parameters(network),
        macs=macs,
        latency_ms=1000 * latency,
        images_per_second=BATCH / of_batch,
    )


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@torch.inference_mode()
def _seconds(network: nn.Module, images: torch.Tensor) -> float:
    """Median of a forward pass."""
    images = images.contiguous(memory_format=torch.channels_last)
    times: list[float] = []
    for _ in range(2):  # first touch of memory is slow, and so is the choice of algorithms
        network(images)
    wait_for(images.device)
    started = time.perf_counter()
    while len(times) < LEAST or (len(times) < MOST and time.perf_counter() - started < PATIENCE):
        begun = time.perf_counter()
        network(images)
        wait_for(images.device)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)
