"""How the stages share the learning rate."""

import pytest
import torch

from fer.errors import ConfigError
from fer.models.lr_multipliers import Equal, Geometric, LayerDecay
from fer.models.network import timm_network
from fer.models.stages import build_optimizer, network_stages


def test_equal_rates_are_the_optimizers():
    assert Equal()(0.3, 4) == [0.3] * 4


def test_geometric_rates_span_the_papers_range():
    """[1e-5, 1e-2] over four stages: each ten times the one before."""
    assert Geometric(1e-5)(1e-2, 4) == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2])


def test_layer_decay_goes_down_from_the_head():
    assert LayerDecay(0.5)(0.8, 4) == pytest.approx([0.1, 0.2, 0.4, 0.8])


@pytest.mark.parametrize("rates", [Equal(), Geometric(), LayerDecay()])
def test_a_network_of_one_stage_learns_at_the_heads_rate(rates):
    assert rates(0.2, 1) == [0.2]


@pytest.mark.parametrize("make", [lambda: Geometric(0), lambda: LayerDecay(0), lambda: LayerDecay(1.2)])
def test_rates_that_cannot_be_are_refused(make):
    with pytest.raises(ConfigError, match="rates"):
        make()


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_efficientnet"])
def test_every_group_of_a_stage_gets_its_rate_whatever_the_backbone(backbone):
    network = timm_network(backbone, num_classes=3, weights="none")
    stages = network_stages(network)
    optimizer = build_optimizer(network, stages, lambda groups: torch.optim.SGD(groups, lr=1e-2), Geometric(1e-5))
    rate_of = dict(zip((stage.name for stage in stages), Geometric(1e-5)(1e-2, len(stages)), strict=True))
    assert {group["stage"]: group["lr"] for group in optimizer.param_groups} == rate_of
    assert all(group["lr"] == rate_of[group["stage"]] for group in optimizer.param_groups)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))
    for group in optimizer.param_groups:
        plain = group["name"].endswith("no_decay")
        assert all((parameter.ndim <= 1) == plain for parameter in group["params"])
        assert not plain or group["weight_decay"] == 0
