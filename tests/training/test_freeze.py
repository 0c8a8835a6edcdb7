"""What is frozen stands still to the bit; which stages are is a pure function of the epoch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fer.errors import ConfigError
from fer.models.network import timm_network
from fer.models.stages import network_stages, parameter_groups
from fer.training.freeze import FreezeSchedule, apply_freeze, gradual, head_first


@pytest.fixture
def network():
    torch.manual_seed(0)
    return timm_network("test_resnet", num_classes=3, weights="none").train()


def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    generator = torch.Generator().manual_seed(7)
    for _ in range(steps):
        optimizer.zero_grad()
        images = torch.rand(4, 1, 32, 32, generator=generator)
        F.cross_entropy(network(images), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()


def copy_of(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def changed(network: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}


def freeze(network: nn.Module, count: int) -> set[str]:
    """Train the last `count` stages; the names of their parameters."""
    stages = network_stages(network)
    apply_freeze(network, stages, stages[-count:])
    return {name for stage in stages[-count:] for name in stage.parameters}


def layer_of(key: str) -> str:
    return key.rpartition(".")[0]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_frozen_weights_and_statistics_are_bit_equal_and_the_others_move(network, count):
    optimizer = torch.optim.AdamW(parameter_groups(network), lr=0.01, weight_decay=0.1)
    trained = freeze(network, count)
    before = copy_of(network)
    train(network, optimizer)
    moved = changed(network, before)
    layers = {layer_of(name) for name in trained}
    assert {layer_of(key) for key in moved} == layers
    assert moved >= trained
    assert all(parameter.grad is None for name, parameter in network.named_parameters() if name not in trained)
    statistics = {key for key in before if "running_" in key and layer_of(key) in layers}
    assert statistics <= moved


def test_freezing_midway_leaves_no_momentum_behind(network):
    """Adam's moments and a stale gradient would move weights that are only given a rate of 0."""
    optimizer = torch.optim.AdamW(parameter_groups(network), lr=0.01)
    freeze(network, len(network_stages(network)))
    train(network, optimizer)
    F.cross_entropy(network(torch.rand(4, 1, 32, 32)), torch.tensor([0, 1, 2, 0])).backward()  # a gradient stands
    trained = freeze(network, 1)
    before = copy_of(network)
    optimizer.step()
    train(network, optimizer)
    assert changed(network, before) == trained


def test_thawing_brings_everything_back(network):
    optimizer = torch.optim.AdamW(parameter_groups(network), lr=0.01)
    freeze(network, 1)
    train(network, optimizer)
    trained = freeze(network, len(network_stages(network)))
    before = copy_of(network)
    train(network, optimizer)
    assert changed(network, before) >= trained | {key for key in before if "running_" in key}
    assert all(layer.training for layer in network.modules())


def test_a_network_in_evaluation_mode_stays_in_it(network):
    network.eval()
    freeze(network, 2)
    assert not any(layer.training for layer in network.modules())


def test_a_batchnorm_without_weights_goes_with_the_layer_before_it():
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=False)),
        nn.Sequential(nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3, affine=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    stages = network_stages(network)
    apply_freeze(network, stages, stages[-1:])
    before = copy_of(network)
    network(torch.rand(4, 1, 16, 16))
    assert changed(network, before) == {"1.1.running_mean", "1.1.running_var", "1.1.num_batches_tracked"}


def test_a_schedule_is_a_pure_function_of_the_epoch(network):
    stages = network_stages(network)
    schedule = FreezeSchedule({0: 1, 2: 3, 5: "all"})
    numbers = [len(schedule.trainable_stages(epoch, stages)) for epoch in range(8)]
    assert numbers == [1, 1, 3, 3, 3, 6, 6, 6]
    assert len(schedule.trainable_stages(3, stages)) == 3  # asked again, out of order
    assert schedule.trainable_stages(0, stages) == stages[-1:]
    assert schedule.trainable_stages(4, stages) == stages[-3:]


def test_the_entries_order_does_not_matter(network):
    stages = network_stages(network)
    schedule = FreezeSchedule({5: "all", 0: 1, 2: 3})
    assert [len(schedule.trainable_stages(epoch, stages)) for epoch in (0, 4, 9)] == [1, 3, 6]


def test_everything_trains_by_default(network):
    stages = network_stages(network)
    assert FreezeSchedule().trainable_stages(0, stages) == stages


def test_a_count_beyond_the_stages_trains_them_all(network):
    stages = network_stages(network)
    assert FreezeSchedule({0: 100}).trainable_stages(0, stages) == stages


@pytest.mark.parametrize(
    "trainable",
    [{}, {1: "all"}, {0: 0}, {0: -1}, {0: "head"}, {0: 1.5}, {0: None}, {0: 1, "3": "all"}, {0: 1, -2: "all"}],
)
def test_a_bad_schedule_is_refused(trainable):
    with pytest.raises(ConfigError) as error:
        FreezeSchedule(trainable)
    assert "freeze.trainable" in str(error.value)
    assert "\n" not in str(error.value)


def test_fractions_are_of_the_run_and_never_the_first_epoch():
    stages = network_stages(timm_network("test_resnet", num_classes=3, weights="none"))
    schedule = FreezeSchedule({0: 1, 0.5: 2, 0.75: "all"})
    assert [len(schedule.trainable_stages(epoch, stages, 8)) for epoch in range(8)] == [1] * 4 + [2] * 2 + [
        len(stages)
    ] * 2
    assert [len(schedule.trainable_stages(epoch, stages, 1)) for epoch in range(2)] == [1, len(stages)]
    assert len(schedule.trainable_stages(1, stages, 2)) in (2, len(stages))


@pytest.mark.parametrize("start", [1.5, -0.5, 1.0, True, "3"])
def test_a_start_is_an_epoch_or_a_fraction(start):
    with pytest.raises(ConfigError, match="fractions of the run"):
        FreezeSchedule({0: 1, 2: 1, start: "all"} if start is not True else {0: 1, "x": 1})


def test_whether_anything_is_frozen():
    assert FreezeSchedule({0: 2}).freezes
    assert FreezeSchedule({0: 1, 3: "all"}).freezes
    assert not FreezeSchedule().freezes


def counts_of(schedule, epochs):
    stages = network_stages(timm_network("test_resnet", num_classes=3, weights="none"))
    return [len(schedule.trainable_stages(epoch, stages, epochs)) for epoch in range(epochs)]


@pytest.mark.parametrize(
    ("schedule", "epochs", "counts"),
    [
        (head_first(2), 5, [1, 1, 6, 6, 6]),
        (head_first(0.4), 5, [1, 1, 6, 6, 6]),
        (head_first(9), 3, [1, 1, 1]),
        (gradual(0.1), 10, [1, 2, 3, 4, 5, 6, 6, 6, 6, 6]),
        (gradual(0.1), 20, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, *[6] * 10]),
        (gradual(0.5), 4, [1, 1, 6, 6]),
        (gradual(2), 8, [1, 1, 2, 2, 3, 3, 4, 4]),
        (gradual(0.1), 3, None),
    ],
)
def test_schedules_by_name(schedule, epochs, counts):
    found = counts_of(schedule, epochs)
    assert found == sorted(found)
    assert found[0] == 1
    if counts is not None:
        assert found == counts


@pytest.mark.parametrize(
    "make", [lambda: head_first(0), lambda: head_first(1.5), lambda: gradual(0), lambda: gradual(-1)]
)
def test_a_schedule_by_name_that_cannot_be(make):
    with pytest.raises(ConfigError, match="freeze"):
        make()
