"""The average of the weights: what is evaluated, saved and gone on with."""

import pytest
import torch
from torch import nn

from fer.errors import ConfigError
from fer.models.averaging import AveragedNetwork


def network(value: float) -> nn.Module:
    layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for tensor in (*layers.parameters(), layers[1].running_mean):
            tensor.fill_(value)
    return layers


def test_it_follows_slowly():
    averaged = AveragedNetwork(network(0.0), 0.9)
    averaged.follow(network(1.0), step=10_000)
    assert torch.allclose(averaged.network[0].weight, torch.tensor(0.1))
    assert torch.allclose(averaged.network[1].running_mean, torch.tensor(0.1))


def test_the_decay_is_warmed_up():
    averaged = AveragedNetwork(network(0.0), 0.999)
    assert [averaged.decay_at(step) for step in (0, 10, 10**6)] == [0.1, 11 / 20, 0.999]


def test_what_stands_still_stays_equal_to_the_bit():
    source = network(1 / 3)
    averaged = AveragedNetwork(source, 0.99)
    for step in range(50):
        averaged.follow(source, step)
    assert torch.equal(averaged.network[0].weight, source[0].weight)


def test_counts_are_taken_over():
    source = network(0.0)
    averaged = AveragedNetwork(source, 0.9)
    source[1].num_batches_tracked += 7
    averaged.follow(source, 0)
    assert averaged.network[1].num_batches_tracked == 7


def test_the_average_never_learns_by_gradient():
    assert not any(parameter.requires_grad for parameter in AveragedNetwork(network(0.0), 0.9).parameters())


@pytest.mark.parametrize("decay", [0, 1, -0.5, 2])
def test_a_decay_that_cannot_be_is_refused(decay):
    with pytest.raises(ConfigError, match="ema_decay"):
        AveragedNetwork(network(0.0), decay)
