"""Weights from checkpoints of ours, and checkpoints that are refused."""

import gzip
import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fer.errors import CheckpointError, FERError, WeightsError
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


PAGE = b"<!DOCTYPE html><title>warning</title>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 46827520\n"
with zipfile.ZipFile(READ := io.BytesIO(), "w") as _archive:
    _archive.writestr("weights/read.txt", "put model.pth here")
ZIP = READ.getvalue()


def saved(value):
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


def scripted():
    content = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), content)
    return content.getvalue()


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors", ".ckpt"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (PAGE, "is a web page, not the file itself: download it again"),
        (POINTER, "is a Git LFS pointer, not the file itself"),
        (ZIP, "is an archive: unpack it and give the file of weights in it"),
        (b"", "is empty"),
        (saved({"a": torch.ones(9)})[:300], "damaged"),
    ],
)
def test_what_is_no_file_of_weights_is_told_as_it_is(content, says, suffix, tmp_path):
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(content)
    with pytest.raises(FERError, match=says) as error:
        timm_network("test_resnet", num_classes=7, weights=file)
    assert_no_bad_advice(error)


@pytest.mark.parametrize("suffix", [".pth", ".ckpt"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: saved(nn.Linear(2, 2)),
            r"save its weights alone, where it was made .torch\.save.model\.state_dict.., PATH.. and give",
        ),
        (lambda: saved({"model": nn.Linear(2, 2), "epoch": 3}), "save its weights alone"),
        (lambda: pickle.dumps({"model": nn.Linear(2, 2)}), "save its weights alone"),
        (scripted, "save its weights alone"),
        (lambda: gzip.compress(saved({})), "is an archive: unpack it"),
        (lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file, as Keras writes"),
        (lambda: b"epoch,loss\n1,2\n", "is text, no weights"),
    ],
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:.*torch.jit", "ignore:.*jit.script")
def test_whole_models_are_refused_with_what_to_save_instead(make, says, suffix, tmp_path):
    file = tmp_path / f"model{suffix}"
    file.write_bytes(make())
    with pytest.raises(FERError, match=says) as error:
        timm_network("test_resnet", num_classes=7, weights=file)
    assert_no_bad_advice(error)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {0: {"step": 3}}}, "epoch": 3},
        lambda state: {"net": {f"module.{key}": value for key, value in state.items()}, "acc": 71.0},
        lambda state: {"state_dict": {f"model.{key}": value for key, value in state.items()}},
        lambda state: {f"encoder.backbone.{key}": value for key, value in state.items()} | {"queue": torch.ones(2, 2)},
    ],
)
def test_weights_are_found_within_what_others_save_around_them(wrap, tmp_path):
    plain = timm_network("test_resnet", num_classes=7, weights="none").state_dict()
    torch.save(wrap(plain), tmp_path / "weights.pth")
    read = timm_network("test_resnet", num_classes=7, weights=tmp_path / "weights.pth").state_dict()
    assert all(torch.equal(read[key], value) for key, value in plain.items() if not key.startswith("fc."))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_of_the_hub_is_read(name, tmp_path):
    plain = timm_network("test_resnet", num_classes=7, weights="none").state_dict()
    save_file(plain, tmp_path / name) if name.endswith("safetensors") else torch.save(plain, tmp_path / name)
    (tmp_path / "config.json").write_text("{}")
    read = timm_network("test_resnet", num_classes=7, weights=tmp_path).state_dict()
    assert torch.equal(read["conv1.0.weight"], plain["conv1.0.weight"])


def test_a_file_of_another_kind_than_its_name_says_is_told(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth is a \.safetensors file: name it so"):
        timm_network("test_resnet", num_classes=7, weights=tmp_path / "a.pth")
    np.savez(tmp_path / "a.npz", a=np.ones(2))
    with pytest.raises(WeightsError, match=r"a\.npz holds arrays of NumPy: weights of PyTorch are wanted"):
        timm_network("test_resnet", num_classes=7, weights=tmp_path / "a.npz")


def test_a_torch_file_named_safetensors_is_told(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(saved({"a": torch.ones(2)}))
    with pytest.raises(WeightsError, match=r"is no \.safetensors file but one of torch\.save: name it \.pth"):
        timm_network("test_resnet", num_classes=7, weights=tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: {}, "holds no weights: give the file of a model's state_dict"),
        (lambda state: {"epoch": 3}, "holds no weights"),
        (lambda state: {key: value * float("nan") for key, value in state.items()}, r"not finite \(conv1"),
        (lambda state: {key: value * 0 for key, value in state.items()}, "holds zeros alone"),
        (
            lambda state: {key: (99 * value).to(torch.int8) for key, value in state.items()},
            r"of int8 \(conv1.*quantize",
        ),
        (lambda state: {key: value.to(torch.complex64) for key, value in state.items()}, "of complex64"),
    ],
)
def test_files_without_weights_and_weights_that_are_no_numbers(change, says, tmp_path):
    """Nothing is asked of the hub in their place, and no learning rate is blamed."""
    path = tmp_path / "weights.pth"
    torch.save(change(timm_network("test_resnet", num_classes=7, weights="none").state_dict()), path)
    with pytest.raises(WeightsError, match=says):
        timm_network("test_resnet", num_classes=7, weights=str(path))
    model = classifier(7)
    for parameter in model.network.parameters():
        parameter.data.fill_(float("inf"))
    write(model, tmp_path / "best.ckpt")
    with pytest.raises(WeightsError, match="not finite"):
        load_own_weights(classifier(7).network, tmp_path / "best.ckpt", "test_resnet")


def assert_no_bad_advice(error):
    """Nothing tells people to switch safety off."""
    assert "weights_only" not in str(error.value)
    assert "trusted" not in str(error.value)
