"""The faster weight gradient of small feature maps: same forward pass, same gradients, chosen only where it serves."""

import copy

import pytest
import torch
from torch import nn

from fer.training import cpu_conv
from fer.training.cpu_conv import SmallMapConv2d, use_small_map_convolutions


def _gradients(conv: nn.Conv2d, images: torch.Tensor, bf16: bool) -> tuple[torch.Tensor, ...]:
    images = images.clone().requires_grad_()
    conv.weight.grad = None
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        result = conv(images)
    result.float().square().mean().backward()
    assert images.grad is not None
    assert conv.weight.grad is not None
    return result.detach(), images.grad, conv.weight.grad


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 6, 7, 8])
def test_gradients_are_those_of_the_plain_convolution(stride: int, side: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(16, 24, 3, stride, 1, bias=False).to(memory_format=torch.channels_last)
    ours = copy.deepcopy(plain)
    use_small_map_convolutions(ours)
    assert type(ours) is SmallMapConv2d
    images = torch.randn(8, 16, side, side)
    exact = _gradients(plain, images, bf16=False)
    expected, found = _gradients(plain, images, bf16=True), _gradients(ours, images, bf16=True)
    assert torch.equal(found[0], expected[0])
    for ours_, theirs, true in zip(found[1:], expected[1:], exact[1:], strict=True):
        assert (ours_ - true).norm() <= max(1.2 * (theirs - true).norm(), 0.01 * true.norm())


def test_it_is_used_on_small_maps_in_bf16_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(cpu_conv._Conv3x3, "apply", lambda *arguments: calls.append(1) or arguments[0])
    conv = nn.Conv2d(4, 4, 3, 1, 1, bias=False)
    use_small_map_convolutions(conv)
    conv(torch.randn(1, 4, 6, 6))
    with torch.autocast("cpu", torch.bfloat16):
        conv(torch.randn(1, 4, 9, 9))
        with torch.no_grad():
            conv(torch.randn(1, 4, 6, 6))
        conv.requires_grad_(False)(torch.randn(1, 4, 6, 6))
        assert calls == []
        conv.requires_grad_(True)(torch.randn(1, 4, 6, 6))
    assert calls == [1]


def test_other_convolutions_stay() -> None:
    others = nn.Sequential(
        nn.Conv2d(4, 4, 1, bias=False),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, padding=0, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, dilation=2, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", bias=False),
    )
    use_small_map_convolutions(others)
    assert {type(module) for module in others} == {nn.Conv2d}
