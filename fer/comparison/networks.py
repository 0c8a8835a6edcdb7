"""The networks of a comparison: depth, size and layers counted on the networks themselves, and how fast they answer."""

import logging
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fer.comparison.groups import Group
from fer.console import track
from fer.device import accelerator_kind, device_name, fp32_without_tf32, wait_for
from fer.errors import FERError
from fer.evaluation.inspection import multiply_accumulates
from fer.models.network import OWN_BUILDER, timm_network

RESNETS = ("resnet18", "resnet34", "resnet50")
SIDE = 224  # pixels
PAPER_GFLOPS = {"resnet18": 233, "resnet34": 470, "resnet50": 527}  # Hernández et al. 2023, Table 1
BATCH_SIZE = 64
MAX_SECONDS = 2.0  # of timing, after a warm-up
MAX_PASSES, MIN_PASSES = 50, 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cost:
    """Of one network at one image size."""

    parameters: int
    macs: int  # of one image
    latency_ms: float  # one image, median
    images_per_second: float  # batches of 64, median


def measured_on() -> str:
    """The machine and the precision of the timing."""
    return f"{device_name(_device())}, fp32, torch {torch.__version__}"


def measure_costs(groups: Sequence[Group]) -> list[Cost | None]:
    """Of each row; None where its network is not one that we build ourselves. Equal networks are timed once.

    Networks are built anew with random weights, for a config is never allowed to name code that we then run.
    """
    keys = [_network_of(group) for group in groups]
    distinct = list(dict.fromkeys(key for key in keys if key is not None))
    costs = {key: _cost(dict(key)) for key in track(distinct, "timing networks")}
    return [None if key is None else costs[key] for key in keys]


def _device() -> torch.device:
    return torch.device("cuda" if accelerator_kind() == "gpu" else "cpu")


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
        one, many = (torch.rand(count, channels, size, size, device=device) for count in (1, BATCH_SIZE))
        with fp32_without_tf32():
            latency, of_batch = _seconds(network, one), _seconds(network, many)
    except (FERError, RuntimeError, TypeError, ValueError, AssertionError) as error:
        log.warning("%s is not timed: %s", arguments.get("backbone"), " ".join(str(error).split())[:200])
        return None
    return Cost(_parameters(network), macs, latency_ms=1000 * latency, images_per_second=BATCH_SIZE / of_batch)


@torch.inference_mode()
def _seconds(network: nn.Module, images: torch.Tensor) -> float:
    """Median of a forward pass."""
    images = images.contiguous(memory_format=torch.channels_last)
    times: list[float] = []
    for _ in range(2):  # first touch of memory is slow, and so is the choice of algorithms
        network(images)
    wait_for(images.device)
    started = time.perf_counter()
    while len(times) < MIN_PASSES or (len(times) < MAX_PASSES and time.perf_counter() - started < MAX_SECONDS):
        begun = time.perf_counter()
        network(images)
        wait_for(images.device)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


@dataclass(frozen=True)
class Architecture:
    """A network as published: three channels, 1,000 classes, 224 px."""

    name: str
    depth: int  # layers with weights on the longest way: convolutions and the head, without shortcuts
    parameters: int
    megabytes: float  # of its parameters and statistics in fp32, 10^6 bytes
    macs: int
    our_parameters: int  # with one channel and seven classes
    our_macs: int
    stages: dict[str, tuple[str, str]]  # name -> layers, side of the output

    @property
    def title(self) -> str:
        return self.name.replace("resnet", "ResNet-")


def architecture(name: str) -> Architecture:
    """Count on the network itself, built without memory for its weights."""
    with torch.device("meta"):
        network = timm_network(name, num_classes=1000, in_chans=3, weights="none").eval()
        ours = timm_network(name, num_classes=7, in_chans=1, weights="none").eval()
    return Architecture(
        name=name,
        depth=sum(1 for path, module in network.named_modules() if _is_layer(path, module)),
        parameters=_parameters(network),
        megabytes=sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values()) / 1e6,
        macs=multiply_accumulates(network, 3, SIDE),
        our_parameters=_parameters(ours),
        our_macs=multiply_accumulates(ours, 1, SIDE),
        stages=_stages(network),
    )


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _is_layer(path: str, module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.Linear) and "downsample" not in path


def _stages(network: nn.Module) -> dict[str, tuple[str, str]]:
    """Layers of each stage as `[3×3, 64; 3×3, 64] × 2`, and the side of what comes out."""
    sides: dict[str, str] = {}
    modules = dict(network.named_children())

    def note(name: str):
        def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            sides[name] = "×".join(str(side) for side in output.shape[2:]) or "1×1"

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in modules.items()]
    with torch.no_grad():
        network(torch.zeros(1, 3, SIDE, SIDE, device="meta"))
    for hook in hooks:
        hook.remove()
    return {name: (text, sides[name]) for name, module in modules.items() if (text := _layers(module))}


def _layers(module: nn.Module) -> str:
    if isinstance(module, nn.Sequential):
        blocks: dict[str, int] = defaultdict(int)
        for block in module:
            convolutions = [layer for path, layer in block.named_modules() if _is_layer(path, layer)]
            blocks["; ".join(_convolution(layer) for layer in convolutions)] += 1
        return ", ".join(f"[{block}] × {count}" for block, count in blocks.items())
    if isinstance(module, nn.Conv2d):
        return f"{_convolution(module)}, stride {module.stride[0]}"
    if isinstance(module, nn.MaxPool2d):
        return f"{module.kernel_size}×{module.kernel_size} max pool, stride {module.stride}"
    if isinstance(module, nn.Linear):
        return f"average pool, {module.out_features}-way linear"
    return ""


def _convolution(layer: nn.Module) -> str:
    assert isinstance(layer, nn.Conv2d)
    return f"{layer.kernel_size[0]}×{layer.kernel_size[1]}, {layer.out_channels}"


def models_rows(found: Sequence[Architecture]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of Table 1 of the paper."""
    headings = ["", "layers", "input", "size, MB", "parameters, million", "cost, GMACs", "paper's Table 1, GFLOPs",
                "as trained here: parameters, million", "GMACs"]  # fmt: skip
    rows = [
        [
            a.title, str(a.depth), f"{SIDE}×{SIDE}", f"{a.megabytes:.1f}", f"{a.parameters / 1e6:.2f}",
            f"{a.macs / 1e9:.2f}", str(PAPER_GFLOPS.get(a.name, "–")), f"{a.our_parameters / 1e6:.2f}",
            f"{a.our_macs / 1e9:.2f}",
        ]
        for a in found
    ]  # fmt: skip
    return headings, rows


def layers_rows(found: Sequence[Architecture]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of Table 2 of the paper."""
    rows = [
        [stage, side, *(a.stages.get(stage, ("–", ""))[0] for a in found)]
        for stage, (_, side) in found[0].stages.items()
    ]
    return ["stage", "output", *(a.title for a in found)], rows
