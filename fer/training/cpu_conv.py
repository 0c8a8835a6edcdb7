"""3x3 convolutions whose weight gradient the CPU finds by one matrix product, where feature maps are small.

oneDNN's bf16 kernels for the gradient of the weights are made for large maps. In the last stage of a ResNet at 48
pixels (512 channels, maps of 3x3) one product of gathered patches takes a fifth to an eighth of their time, and a whole
training step two thirds (docs/training.md, "On a CPU"). The forward pass is the same to the bit.
"""

from typing import Any

import torch
import torch.nn.functional as F
import torch.nn.grad
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

LARGEST_MAP = 64  # positions of the output, 8x8; above it oneDNN is as fast


class SmallMapConv2d(nn.Conv2d):
    """A convolution of 3x3 with padding 1, as `use_small_map_convolutions` makes it of timm's."""

    def forward(self, input: Tensor) -> Tensor:
        if self._is_small(input) and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled():
            dtype = torch.get_autocast_dtype("cpu")
            if dtype == torch.bfloat16 and self.weight.requires_grad:
                with torch.autocast("cpu", enabled=False):
                    return _Conv3x3.apply(input.to(dtype), self.weight.to(dtype), self.stride[0])
        return super().forward(input)

    def _is_small(self, input: Tensor) -> bool:
        height, width = ((side - 1) // self.stride[0] + 1 for side in input.shape[-2:])
        return input.device.type == "cpu" and height * width <= LARGEST_MAP


class _Conv3x3(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.stride = stride
        return F.conv2d(input, weight, stride=stride, padding=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        input, weight = ctx.saved_tensors
        grad, stride = grads[0].contiguous(memory_format=torch.channels_last), ctx.stride
        of_input = of_weight = None
        if ctx.needs_input_grad[0]:
            of_input = conv2d_input(input.shape, weight, grad, stride=stride, padding=1)
        if ctx.needs_input_grad[1]:
            rows = grad.permute(0, 2, 3, 1).flatten(0, 2)
            product = rows.t() @ _patches(input, stride)
            of_weight = product.view(len(weight), 3, 3, -1).permute(0, 3, 1, 2)
        return of_input, of_weight, None


def _patches(input: Tensor, stride: int) -> Tensor:
    """What each position of the output sees of (N, C, H, W): (N * H' * W', 3 * 3 * C)."""
    padded = F.pad(input.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    n, height, width, channels = padded.shape
    down, right = (height - 3) // stride + 1, (width - 3) // stride + 1
    sample, row, column, _ = padded.stride()
    windows = padded.as_strided(
        (n, down, right, 3, 3, channels), (sample, row * stride, column * stride, row, column, 1)
    )
    return windows.reshape(n * down * right, 9 * channels)


def use_small_map_convolutions(network: nn.Module) -> None:
    """Let plain 3x3 convolutions of a network, in place, choose the faster gradient; parameters stay what they are."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            module.__class__ = SmallMapConv2d


def _is_plain(conv: nn.Conv2d) -> bool:
    return (
        conv.kernel_size == (3, 3)
        and conv.stride in ((1, 1), (2, 2))
        and conv.padding == (1, 1)
        and conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.bias is None
        and conv.padding_mode == "zeros"
    )
