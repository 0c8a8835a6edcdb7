"""The classifier: normalised faces in, logits out; pure torch."""

import importlib
import sys

import pytest
import torch
from torch import nn

from fer.models.averaging import AveragedNetwork
from fer.models.classifier import ExpressionClassifier
from tests.forked import forget_modules, in_fork


def classifier(network: nn.Module, mean: list[float], std: list[float]) -> ExpressionClassifier:
    facts = {"network_spec": {}, "classes": ["angry", "happy", "neutral"], "image_size": 2}
    return ExpressionClassifier(network, **facts, mean=mean, std=std)


def test_the_network_sees_normalised_faces() -> None:
    model = classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False)), [0.4], [0.2])
    faces = torch.rand(2, 1, 2, 2)
    expected = ((faces - 0.4) / 0.2).flatten(1) @ model.network[1].weight.T  # type: ignore[index]
    assert torch.allclose(model(faces), expected, atol=1e-5)


def test_colour_channels_are_normalised_each_by_its_own() -> None:
    model = classifier(nn.Flatten(), [0.1, 0.2, 0.3], [1, 2, 4])
    assert torch.allclose(model(torch.full((1, 3, 1, 1), 0.5)), torch.tensor([[0.4, 0.15, 0.05]]))
    assert model.channels == 3


def test_the_statistics_travel_with_the_state() -> None:
    state = classifier(nn.Identity(), [0.4], [0.2]).state_dict()
    assert state["mean"].flatten().tolist() == pytest.approx([0.4])
    assert state["std"].flatten().tolist() == pytest.approx([0.2])


def test_averaged_weights_answer_outside_training() -> None:
    model = classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), [0.5], [1.0])
    model.averaged = AveragedNetwork(model.network, 0.9)
    with torch.no_grad():
        model.network[1].bias += 1  # type: ignore[index]
        faces = torch.rand(2, 1, 2, 2)
        assert torch.allclose(model.train()(faces), model.eval()(faces) + 1)


def test_no_trainer_is_needed_to_load_and_run_a_model() -> None:
    trainers = ("pytorch_lightning", "lightning_fabric", "lightning_utilities", "torchmetrics")

    def alone() -> None:
        forget_modules("fer", *trainers)
        sys.modules.update(dict.fromkeys(trainers))  # None: no import finds them
        importlib.import_module("fer.models.load")
        importlib.import_module("fer.models.losses")

    done = in_fork(alone)
    assert done.returncode == 0, done.stderr
