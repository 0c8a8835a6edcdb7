"""Logits of a whole split: each image once, in order, in evaluation mode."""

import pytest
import torch

from fer.data.loader import DeviceLoader
from fer.evaluation.predict_split import collect
from fer.models.classifier import ExpressionClassifier
from fer.models.network import timm_network


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    network = timm_network("test_resnet", num_classes=3, weights="none", drop_rate=0.5)
    return ExpressionClassifier(
        network, network_spec={}, classes=["angry", "happy", "sad"], image_size=32, mean=[0.5], std=[0.2]
    )


def loader(batch_size: int) -> DeviceLoader:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, 1, 32, 32), dtype=torch.uint8, generator=generator)
    rows = torch.tensor([1, 2, 3, 5, 8, 9, 11])
    return DeviceLoader(images, torch.arange(12) % 3, rows, batch_size=batch_size, image_size=32)


def test_a_row_for_each_image_in_the_packs_order(classifier):
    found = collect(classifier, loader(3), "32-true", "test")
    assert found.rows.tolist() == [1, 2, 3, 5, 8, 9, 11]
    assert found.labels.tolist() == [1, 2, 0, 2, 2, 0, 2]
    assert (found.logits.shape, str(found.logits.dtype)) == ((7, 3), "float32")


def test_logits_are_those_of_the_classifier_in_evaluation_mode(classifier):
    classifier.train()  # where dropout and batch statistics would show
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    found = collect(classifier, loader(3), "32-true", "test")
    source = loader(12)
    with torch.no_grad():
        expected = classifier(source.batch(0, 0).images)
    assert torch.allclose(torch.from_numpy(found.logits), expected, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_the_batch_size_does_not_matter(classifier, batch_size):
    whole, parts = collect(classifier, loader(7), "32-true", ""), collect(classifier, loader(batch_size), "32-true", "")
    assert torch.allclose(torch.from_numpy(whole.logits), torch.from_numpy(parts.logits), atol=1e-5)


def test_mixed_precision_is_used_and_returned_as_float32(classifier):
    exact, mixed = (collect(classifier, loader(7), precision, "") for precision in ("32-true", "bf16-mixed"))
    assert mixed.logits.dtype == "float32"
    assert not (mixed.logits == exact.logits).all()
    assert mixed.logits == pytest.approx(exact.logits, abs=0.1)
