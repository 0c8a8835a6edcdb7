"""Depth, size, cost and layers of the ResNets, counted on the networks themselves, beside what the paper prints."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import nn

from fer.evaluation.cost import multiply_accumulates
from fer.models.network import timm_network

RESNETS = ("resnet18", "resnet34", "resnet50")
SIDE = 224  # pixels
PAPER_GFLOPS = {"resnet18": 233, "resnet34": 470, "resnet50": 527}  # Hernández et al. 2023, Table 1


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
    stages = {}
    for name, module in modules.items():
        text = _layers(module)
        if text:
            stages[name] = (text, sides[name])
    return stages


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


Rows = tuple[list[str], list[list[str]]]  # headings, cells


def table_of_models(found: list[Architecture]) -> Rows:
    """Table 1 of the paper."""
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


def table_of_layers(found: list[Architecture]) -> Rows:
    """Table 2 of the paper."""
    headings = ["stage", "output", *(a.title for a in found)]
    rows = []
    for stage in found[0].stages:
        rows.append([stage, found[0].stages[stage][1], *(a.stages.get(stage, ("–", ""))[0] for a in found)])
    return headings, rows
