"""Any network as a row of stages from input to head, and the optimizer's groups made of it."""

import pytest
import timm
import torch
from torch import nn

from fer.models.stages import network_stages, parameter_groups

RESNET = ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
TIMM = [
    "resnet18",
    "test_resnet",
    "tf_efficientnet_lite0",
    "test_convnext",
    "test_vit",
    "vgg11",
    "densenet121",
    "rdnet_tiny",
]


def timm_network(name: str) -> nn.Module:
    with torch.device("meta"):  # names and shapes are all that counts here
        return timm.create_model(name, num_classes=7, in_chans=1)


class Plain(nn.Module):
    """Somebody's own network, with an awkward choice of names."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 8)
        self.stem = nn.Linear(8, 8)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(8, 7)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet10t", "test_resnet"])
def test_a_resnets_stages_have_the_papers_names(name):
    assert [stage.name for stage in network_stages(timm_network(name))] == RESNET


@pytest.mark.parametrize("name", TIMM)
def test_every_parameter_is_in_one_stage_and_names_are_unique(name):
    network = timm_network(name)
    stages = network_stages(network)
    assert sorted(p for stage in stages for p in stage.parameters) == sorted(n for n, _ in network.named_parameters())
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names) >= 3
    assert names[-1] == "head"


@pytest.mark.parametrize("name", TIMM)
def test_the_classifier_is_in_the_head_and_the_first_layer_is_not(name):
    network = timm_network(name)
    stages = network_stages(network)
    assert network.get_classifier() is not None
    head = {id(network.get_parameter(parameter)) for parameter in stages[-1].parameters}
    assert {id(parameter) for parameter in network.get_classifier().parameters()} <= head
    assert next(iter(dict(network.named_parameters()))) in stages[0].parameters


def test_an_efficientnets_stages_are_its_blocks():
    names = [stage.name for stage in network_stages(timm_network("tf_efficientnet_lite0"))]
    assert names[:3] == ["stem", "blocks_0", "blocks_1"]


def test_a_plain_modules_children_are_its_stages():
    stages = network_stages(Plain())
    assert [stage.parameters for stage in stages] == [
        ("features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias"),
        ("head.weight", "head.bias"),
        ("stem.weight", "stem.bias"),
        ("classifier.weight", "classifier.bias"),
    ]
    names = [stage.name for stage in stages]
    assert (names[0], names[-1]) == ("stem", "head")
    assert len(set(names)) == 4


def test_a_single_layer_is_a_head():
    assert [stage.name for stage in network_stages(nn.Sequential(nn.Linear(4, 7)))] == ["head"]


@pytest.mark.parametrize("make", [*(lambda name=name: timm_network(name) for name in TIMM), Plain])
def test_groups_hold_every_parameter_once_under_unique_names(make):
    network = make()
    groups = parameter_groups(network)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in network.parameters())
    assert len({group["name"] for group in groups}) == len(groups)
    assert {group["stage"] for group in groups} == {stage.name for stage in network_stages(network)}
    for group in groups:
        owned = {stage.name: stage.parameters for stage in network_stages(network)}[group["stage"]]
        assert {id(p) for p in group["params"]} <= {id(network.get_parameter(name)) for name in owned}


def test_biases_and_norms_do_not_decay():
    groups = parameter_groups(timm_network("test_resnet"))
    optimizer = torch.optim.AdamW(groups, weight_decay=0.1)
    for group in optimizer.param_groups:
        dimensions = {parameter.ndim for parameter in group["params"]}
        assert dimensions == {1} if group["weight_decay"] == 0 else 1 not in dimensions
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.1}


def test_frozen_parameters_are_in_the_groups_too():
    network = Plain().requires_grad_(False)
    assert sum(len(group["params"]) for group in parameter_groups(network)) == len(list(network.parameters()))
