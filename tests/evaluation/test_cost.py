"""What a network costs, in the literature's numbers."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fer.device import peak_memory_bytes
from fer.evaluation.inspection import multiply_accumulates
from fer.models.network import timm_network


@pytest.mark.parametrize(("backbone", "billions"), [("resnet18", 1.82), ("resnet50", 4.09)])
def test_a_resnet_costs_what_the_literature_says(backbone, billions):
    network = timm_network(backbone, num_classes=1000, in_chans=3, weights="none")
    assert multiply_accumulates(network, 3, 224) == pytest.approx(billions * 1e9, rel=0.02)


def test_a_linear_layer_costs_its_weights():
    assert multiply_accumulates(nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), 1, 8) == 64 * 7


def test_modes_and_statistics_are_left_as_they_were():
    network = timm_network("test_resnet", num_classes=3, weights="none").train()
    network.layer1.eval()
    modes = {name: layer.training for name, layer in network.named_modules()}
    before = {key: value.clone() for key, value in network.state_dict().items()}
    multiply_accumulates(network, 1, 32)
    assert {name: layer.training for name, layer in network.named_modules()} == modes
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_modes_come_back_after_an_image_that_does_not_fit():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 7)).train()
    with pytest.raises(RuntimeError):
        multiply_accumulates(network, 1, 9)
    assert all(layer.training for layer in network.modules())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own account is Linux's")
def test_peak_memory_is_the_kernels_in_bytes():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kilobytes = int(status["VmHWM"].split()[0])
    assert peak_memory_bytes(torch.device("cpu")) == pytest.approx(1024 * kilobytes, rel=0.05)


def test_attention_is_counted():
    """DeiT-tiny has 1.25 billion multiply-accumulates; without those of attention it would be 1.08."""
    network = timm_network("deit_tiny_patch16_224", num_classes=1000, in_chans=3, weights="none")
    assert multiply_accumulates(network, 3, 224) == pytest.approx(1.253e9, rel=0.02)
