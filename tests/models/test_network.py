"""A timm network for faces: grey input, a head of our size, weights taken over bit by bit."""

import os
import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from fer.errors import CheckpointError, ConfigError, FERError, WeightsError
from fer.models.network import timm_network


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture(scope="module")
def imagenet_style():
    """State of a network as timm publishes it: RGB, 1000 classes."""
    torch.manual_seed(1)
    network = timm.create_model("test_resnet")
    assert network.conv1[0].in_channels == 3
    assert network.fc.out_features == 1000
    return network.state_dict()


@pytest.fixture(scope="module")
def published(imagenet_style, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    save_file(imagenet_style, folder / "weights.safetensors")
    torch.save(imagenet_style, folder / "weights.pth")
    return folder


def one_line_of(error: pytest.ExceptionInfo) -> str:
    line = str(error.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("backbone", ["test_resnet.r160_in1k", "test_efficientnet", "test_convnext"])
@pytest.mark.parametrize(("num_classes", "in_chans"), [(7, 1), (2, 3)])
def test_the_first_layer_takes_the_channels_and_the_last_gives_the_classes(backbone, num_classes, in_chans):
    network = timm_network(backbone, num_classes=num_classes, in_chans=in_chans, weights="none").eval()
    with torch.no_grad():
        assert network(torch.rand(2, in_chans, 48, 48)).shape == (2, num_classes)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_published_weights_are_taken_over(published, imagenet_style, name):
    state = timm_network("test_resnet", num_classes=7, weights=published / name).state_dict()
    stem, head = "conv1.0.weight", {"fc.weight", "fc.bias"}
    assert torch.allclose(state[stem], imagenet_style[stem].sum(dim=1, keepdim=True), atol=1e-6)
    assert state.keys() == imagenet_style.keys()
    for key in state.keys() - {stem} - head:
        assert torch.equal(state[key], imagenet_style[key]), key
    assert state["fc.weight"].shape == (7, imagenet_style["fc.weight"].shape[1])


def test_colour_keeps_the_published_stem(published, imagenet_style):
    network = timm_network("test_resnet", num_classes=7, in_chans=3, weights=published / "weights.pth")
    assert torch.equal(network.conv1[0].weight, imagenet_style["conv1.0.weight"])


@pytest.mark.parametrize("classes", [0, 8])
def test_a_file_with_another_head_or_none_fits(tmp_path, classes):
    donor = timm.create_model("test_resnet", num_classes=classes)
    save_file(donor.state_dict(), tmp_path / "faces.safetensors")
    network = timm_network("test_resnet", num_classes=5, weights=tmp_path / "faces.safetensors")
    assert torch.equal(network.layer4[0].conv1.weight, donor.layer4[0].conv1.weight)
    assert network.fc.out_features == 5


def test_a_grey_file_fits_as_it_is(tmp_path):
    donor = timm.create_model("test_resnet", in_chans=1)
    save_file(donor.state_dict(), tmp_path / "grey.safetensors")
    network = timm_network("test_resnet", num_classes=5, weights=tmp_path / "grey.safetensors")
    assert torch.equal(network.conv1[0].weight, donor.conv1[0].weight)


def test_the_network_does_not_keep_the_file_in_memory(published):
    network = timm_network("test_resnet", num_classes=7, weights=published / "weights.pth")
    assert not network.pretrained_cfg.get("state_dict")


def test_no_weights_are_random_ones():
    torch.manual_seed(0)
    first = timm_network("test_resnet", num_classes=7, weights="none")
    second = timm_network("test_resnet", num_classes=7, weights="none")
    assert not torch.equal(first.fc.weight, second.fc.weight)


@pytest.mark.parametrize(("backbone", "near"), [("resnet81", "resnet18"), ("resnet18.a1_in2k", "resnet18.a1_in1k")])
def test_an_unknown_backbone_or_tag_names_near_ones(backbone, near):
    with pytest.raises(ConfigError) as error:
        timm_network(backbone, num_classes=7, weights="none")
    line = one_line_of(error)
    assert backbone in line
    assert near in line.split("near:")[1]


@pytest.mark.parametrize("held", ["test_vit", "resnet10t"])
def test_a_file_of_another_architecture_is_refused(tmp_path, held):
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model(held).state_dict(), file)
    with pytest.raises(WeightsError) as error:
        timm_network("test_resnet", num_classes=7, weights=file)
    assert str(file) in one_line_of(error)


@pytest.mark.parametrize("smaller", [True, False])
def test_a_smaller_or_larger_sibling_does_not_half_fit(tmp_path, imagenet_style, smaller):
    """A ResNet-34 holds all tensors of a ResNet-18, at the same shapes, and a ResNet-18 many of a 34's."""
    state = {key: value.clone() for key, value in imagenet_style.items()}
    if smaller:
        state = {key: value for key, value in state.items() if not key.startswith("layer4.")}
    else:
        state |= {key.replace("layer4.0.", "layer4.1."): value.clone() for key, value in state.items()}
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError) as error:
        timm_network("test_resnet", num_classes=7, weights=tmp_path / "weights.safetensors")
    assert "layer4" in one_line_of(error)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_a_truncated_file_is_refused(published, tmp_path, name, share):
    content = (published / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError) as error:
        timm_network("test_resnet", num_classes=7, weights=tmp_path / name)
    assert name in one_line_of(error)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("wrap", [lambda bomb, state: bomb, lambda bomb, state: {**state, "extra": bomb}])
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path, imagenet_style, save, wrap):
    file, mark = tmp_path / "weights.pth", tmp_path / "executed"
    save(wrap(Bomb(mark), imagenet_style), file)
    with pytest.raises(WeightsError) as error:
        timm_network("test_resnet", num_classes=7, weights=file)
    one_line_of(error)
    assert not mark.exists()


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        timm_network("test_resnet", num_classes=7, weights=tmp_path / "nowhere.pth")


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(FERError) as error:
        timm_network("test_resnet", num_classes=7, weights=tmp_path)
    assert str(tmp_path) in one_line_of(error)


def test_a_small_stem_sees_sixteen_times_the_pixels():
    default, small = (
        timm_network("resnet18", num_classes=7, weights="none", stem=stem).eval() for stem in ("default", "small")
    )
    seen = {}
    for name, network in (("default", default), ("small", small)):
        network.layer1.register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: inputs[0].shape}))
        with torch.no_grad():
            assert network(torch.rand(1, 1, 48, 48)).shape == (1, 7)
    assert seen["small"][2] * seen["small"][3] == 16 * seen["default"][2] * seen["default"][3]
    assert (small.conv1.kernel_size, small.conv1.stride) == ((3, 3), (1, 1))
    assert not any(isinstance(layer, nn.MaxPool2d) for layer in small.modules())


def test_a_small_stem_keeps_the_centre_of_pretrained_filters(tmp_path):
    donor = timm.create_model("resnet18")
    save_file(donor.state_dict(), tmp_path / "weights.safetensors")
    network = timm_network("resnet18", num_classes=7, weights=tmp_path / "weights.safetensors", stem="small")
    centre = donor.conv1.weight.sum(dim=1, keepdim=True)[:, :, 2:5, 2:5]
    assert torch.allclose(network.conv1.weight, centre, atol=1e-6)
    assert torch.equal(network.layer1[0].conv1.weight, donor.layer1[0].conv1.weight)


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_vit", "resnet10t"])
def test_a_small_stem_is_refused_where_there_is_no_plain_resnet(backbone):
    with pytest.raises(ConfigError) as error:
        timm_network(backbone, num_classes=7, weights="none", stem="small")
    assert backbone in one_line_of(error)


def test_an_unknown_stem_is_refused():
    with pytest.raises(ConfigError, match="choose auto, default, small, small_pooled"):
        timm_network("resnet18", num_classes=7, weights="none", stem="tiny")


def test_dropout_and_stochastic_depth_reach_the_network():
    network = timm_network("test_resnet", num_classes=7, weights="none", drop_rate=0.3, drop_path_rate=0.2)
    assert network.drop_rate == 0.3
    assert any(getattr(layer, "drop_prob", None) for layer in network.modules())


def test_a_foreign_checkpoint_as_weights_is_refused(tmp_path, imagenet_style):
    torch.save({"state_dict": imagenet_style}, tmp_path / "foreign.ckpt")
    with pytest.raises(CheckpointError) as error:
        timm_network("test_resnet", num_classes=7, weights=tmp_path / "foreign.ckpt")
    assert "foreign.ckpt" in one_line_of(error)
