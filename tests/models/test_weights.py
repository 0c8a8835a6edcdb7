"""Weights from checkpoints of ours, and checkpoints that are refused."""

import pytest
import torch

from fer.errors import CheckpointError, WeightsError
from fer.models.classifier import ExpressionClassifier
from fer.models.network import timm_network
from fer.models.weights import FORMAT, load_own_weights, read_checkpoint


def classifier(num_classes: int, backbone: str = "test_resnet", **spec) -> ExpressionClassifier:
    spec = {"_target_": "fer.models.network.timm_network", "backbone": backbone, "num_classes": num_classes, **spec}
    return ExpressionClassifier(
        timm_network(weights="none", **{key: value for key, value in spec.items() if key != "_target_"}),
        network_spec=spec,
        classes=[f"class{index}" for index in range(num_classes)],
        image_size=32,
        mean=[0.5],
        std=[0.25],
    )


def write(model: ExpressionClassifier, path, **changes):
    """A checkpoint as training writes it, without the trainer's part."""
    checkpoint = {"state_dict": model.state_dict(), "fer": model.facts()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**checkpoint, **changes}, path)
    return path


def test_a_checkpoint_of_ours_gives_all_its_weights(tmp_path):
    donor = classifier(7)
    network = timm_network("test_resnet", num_classes=7, weights=write(donor, tmp_path / "best.ckpt"))
    for key, value in network.state_dict().items():
        assert torch.equal(value, donor.network.state_dict()[key]), key


def test_a_run_folder_gives_those_of_its_best_checkpoint(tmp_path):
    donor = classifier(7)
    write(donor, tmp_path / "run" / "checkpoints" / "best.ckpt")
    network = timm_network("test_resnet", num_classes=7, weights=tmp_path / "run")
    assert torch.equal(network.fc.weight, donor.network.fc.weight)


def test_with_other_classes_only_the_head_is_new(tmp_path):
    donor = classifier(8)
    network = timm_network("test_resnet", num_classes=6, weights=write(donor, tmp_path / "best.ckpt"))
    assert network.fc.out_features == 6
    for key, value in network.state_dict().items():
        if not key.startswith("fc."):
            assert torch.equal(value, donor.network.state_dict()[key]), key


@pytest.mark.parametrize(("held", "backbone"), [("resnet10t", "test_resnet"), ("test_vit", "test_resnet")])
def test_a_checkpoint_of_another_architecture_is_refused(tmp_path, held, backbone):
    path = write(classifier(7, held), tmp_path / "best.ckpt")
    with pytest.raises(WeightsError) as error:
        load_own_weights(timm_network(backbone, num_classes=7, weights="none"), path, backbone)
    line = str(error.value)
    assert held in line
    assert backbone in line
    assert "\n" not in line


def test_a_small_stems_checkpoint_goes_into_a_small_stem(tmp_path):
    donor = classifier(7, "resnet18", stem="small")
    path = write(donor, tmp_path / "best.ckpt")
    network = timm_network("resnet18", num_classes=7, weights=path, stem="small")
    assert torch.equal(network.conv1.weight, donor.network.conv1.weight)
    with pytest.raises(WeightsError, match=r"conv1\.weight"):
        timm_network("resnet18", num_classes=7, weights=path)


@pytest.mark.parametrize(
    "changes",
    [
        {"fer": None},
        {"fer": {"format": FORMAT}},
        {"fer": {"format": FORMAT, "network": "resnet18", "classes": ["happy"], "image_size": 48}},
        {"fer": {"format": FORMAT, "network": {}, "classes": "happy", "image_size": 48}},
        {"fer": {"format": FORMAT + 1, "network": {}, "classes": ["happy"], "image_size": 48}},
        {"state_dict": None},
        {"state_dict": {}},
        {"state_dict": {"mean": 0.5, "std": 0.25}},
    ],
)
def test_a_checkpoint_without_its_parts_is_refused(tmp_path, changes):
    path = write(classifier(3), tmp_path / "best.ckpt", **changes)
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_checkpoint_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(CheckpointError, match=r"checkpoints.best\.ckpt"):
        read_checkpoint(tmp_path)
