"""What a network costs."""

import sys

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@torch.no_grad()
def multiply_accumulates(network: nn.Module, channels: int, image_size: int) -> int:
    """Multiply-accumulates of one forward pass of one image (what the literature calls FLOPs)."""
    parameter = next(network.parameters())
    training = {module: module.training for module in network.modules()}
    network.eval()
    counter = FlopCounterMode(display=False)
    try:
        with counter:
            network(torch.zeros(1, channels, image_size, image_size, device=parameter.device))
    finally:
        for module, mode in training.items():
            module.training = mode
    return counter.get_total_flops() // 2


def peak_memory_bytes(device: torch.device) -> int | None:
    """The most memory held so far: allocated on a GPU, else resident of this process; None on Windows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
