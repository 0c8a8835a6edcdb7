"""Maps are bright where the evidence is, for any network that has maps in it."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fer.evaluation.deletion import deletion_check, deletion_in_words
from fer.evaluation.inspection import class_maps, layer_with_maps
from fer.evaluation.split_predictions import SplitPredictions
from fer.models.averaging import AveragedNetwork
from fer.models.classifier import ExpressionClassifier
from fer.models.network import timm_network

CPU = torch.device("cpu")


class BrightOrDark(nn.Module):
    """Class 0 for bright pixels, class 1 for dark ones; both see the mean over the image."""

    def __init__(self) -> None:
        super().__init__()
        self.contrast = nn.Conv2d(1, 2, 1)
        self.pool = nn.AdaptiveAvgPool2d(8)
        with torch.no_grad():
            self.contrast.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
            self.contrast.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.contrast(images).relu()).mean(dim=(2, 3))


def classifier_of(network: nn.Module, image_size: int = 32, **options) -> ExpressionClassifier:
    facts = {"classes": ["happy", "sad"], "image_size": image_size, "mean": [0.5], "std": [0.25]}
    return ExpressionClassifier(network, network_spec={}, **facts, **options)


@pytest.fixture
def corners() -> np.ndarray:
    """Grey, one bright corner and the opposite one dark."""
    image = np.full((1, 32, 32), 128, dtype=np.uint8)
    image[0, :12, :12], image[0, -12:, -12:] = 255, 0
    return image


@pytest.mark.parametrize("frozen", [False, True])
def test_each_class_is_seen_where_it_is(corners, frozen):
    pytest.importorskip("pytorch_grad_cam")
    classifier = classifier_of(BrightOrDark())
    if frozen:
        classifier.requires_grad_(False)
    bright, dark = class_maps(classifier, np.concatenate([corners, corners]), [0, 1], CPU)
    assert bright.shape == (32, 32)
    assert bright[:8, :8].min() > 0.9
    assert bright[16:, 16:].max() < 0.1
    assert dark[-8:, -8:].min() > 0.9
    assert dark[:16, :16].max() < 0.1


@pytest.mark.parametrize("seen", [True, False])
def test_deleting_what_a_network_uses_hurts_it_more_than_the_centre(corners, seen):
    """Of a network that looks at corners, and of one whose map is about nothing: it answers alike without any image."""
    pytest.importorskip("pytorch_grad_cam")
    classifier = classifier_of(BrightOrDark())
    if not seen:
        classifier.network.contrast.weight.data.zero_()
        classifier.network.contrast.bias.data[:] = torch.tensor([1.0, 0.5])
    images = np.concatenate([corners, corners[:, ::-1, ::-1]] * 3)
    images[:, 10:22, 10:22] = 128
    logits, labels, names = np.tile(np.float32([[1, 0]]), (6, 1)), np.zeros(6, int), np.arange(6).astype(str)
    predictions = SplitPredictions(["happy", "sad"], logits, labels, names, None, lambda rows: images[rows])
    found = deletion_check(classifier, predictions)
    sentence = deletion_in_words({f"test/{name}": value for name, value in found.items()}, "test")
    assert found["gradcam_images"] == 6
    assert ("the maps do better than the centre" in sentence) == seen
    if seen:
        assert found["gradcam_drop"] > found["gradcam_drop_centre"] + 0.01
        assert found["gradcam_gain_ci95"][0] > 0
    else:
        assert (found["gradcam_drop"], found["gradcam_drop_centre"]) == pytest.approx((0, 0), abs=1e-9)


def test_weights_stay_as_they_are_and_no_gradient_is_left(corners):
    pytest.importorskip("pytorch_grad_cam")
    classifier = classifier_of(timm_network("test_resnet", num_classes=2, weights="none"))
    classifier.averaged = AveragedNetwork(classifier.network, 0.9)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    with torch.inference_mode():  # as evaluation has it
        maps = class_maps(classifier, corners, [1], CPU)
    assert maps.shape == (1, 32, 32)
    assert 0 <= maps.min() <= maps.max() <= 1
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in classifier.parameters())


@pytest.mark.parametrize(("size", "stage"), [(64, "layer3"), (128, "layer4")])
def test_the_deepest_stage_whose_map_is_fine_enough_is_looked_at(size, stage):
    classifier = classifier_of(timm_network("test_resnet", num_classes=2, weights="none")).eval()
    network = classifier.network
    assert layer_with_maps(network, classifier, torch.rand(1, 1, size, size)) is getattr(network, stage)


def test_a_network_without_maps_is_told_and_left_alone(corners, caplog):
    pytest.importorskip("pytorch_grad_cam")
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2))
    assert class_maps(classifier_of(network), corners, [0], CPU) is None
    assert "no layer whose output is a map" in caplog.text
