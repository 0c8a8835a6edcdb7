"""Views of an image: what each shows, that they are the same each time, and that votes are means of probabilities."""

import numpy as np
import pytest
import torch
from PIL import Image

from fer.data.augment import resample
from fer.data.loader import DeviceLoader
from fer.errors import ConfigError
from fer.evaluation.predict_split import CROP, VIEWS, collect, flip, in_channels, ten_crop, views
from fer.models.classifier import ExpressionClassifier
from fer.models.network import timm_network


def pictures(count: int = 3, channels: int = 1, side: int = 20, width: int | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, side, width or side), dtype=torch.uint8, generator=generator)


def test_flip_shows_the_image_and_its_mirror_image():
    images = pictures()
    upright, mirrored = flip(images, 32).chunk(2)
    assert torch.equal(upright, resample(images, 32))
    assert torch.allclose(mirrored, resample(images.flip(-1), 32), atol=1e-6)


def test_the_ten_crops_are_those_that_cutting_by_hand_gives():
    """Of 20 pixels a crop has 18, and its corners are the image's: at 18 pixels nothing is interpolated."""
    images = pictures(side=20)
    assert CROP == 0.9
    crops = ten_crop(images, 18).view(10, 3, 1, 18, 18)
    for index, (top, left) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]):
        cut = images[:, :, top : top + 18, left : left + 18] / 255
        assert torch.allclose(crops[2 * index], cut, atol=1e-5), index
        assert torch.equal(crops[2 * index + 1], crops[2 * index].flip(-1))


def test_crops_of_a_broad_image_are_within_its_central_square():
    images = pictures(side=20, width=40)
    assert torch.allclose(ten_crop(images, 18), ten_crop(images[..., 10:30], 18), atol=1e-5)


@pytest.mark.parametrize("tta", VIEWS)
def test_views_come_in_the_number_that_is_told_and_the_same_each_time(tta):
    count, show = views(tta, channels=1)
    shown = show(pictures(), 16)
    assert shown.shape == (3 * count, 1, 16, 16)
    assert torch.equal(shown, show(pictures(), 16))
    assert not any(torch.equal(shown[:3], shown[3 * k : 3 * k + 3]) for k in range(1, count))


def test_a_word_that_names_no_views():
    with pytest.raises(ConfigError, match="choose none, flip, tencrop"):
        views("flips", 1)


def test_colour_becomes_grey_as_pillow_does_it():
    images = pictures(channels=3)
    grey = in_channels(images, 1)
    by_pillow = [np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")) for image in images]
    assert np.array_equal(grey[:, 0].numpy(), np.stack(by_pillow))


def test_grey_images_fill_all_channels_of_colour():
    images = pictures()
    assert torch.equal(in_channels(images, 3), torch.cat([images] * 3, dim=1))
    assert in_channels(images, 1) is images


def test_images_sharper_than_those_of_training_are_shrunk_to_them_first():
    large = pictures(side=40)
    small = (resample(large, 20) * 255).round().to(torch.uint8)
    assert torch.equal(views("none", 1, stored_size=20)[1](large, 32), resample(small, 32))
    assert torch.equal(views("none", 1, stored_size=40)[1](large, 32), resample(large, 32))


@pytest.mark.parametrize("tta", ["flip", "tencrop"])
def test_the_vote_of_views_is_the_mean_of_their_probabilities(tta):
    torch.manual_seed(0)
    network = timm_network("test_resnet", num_classes=3, weights="none")
    classifier = ExpressionClassifier(
        network, network_spec={}, classes=["angry", "happy", "sad"], image_size=32, mean=[0.5], std=[0.2]
    ).eval()
    count, show = views(tta, 1)
    images = pictures(5, side=32)
    loader = DeviceLoader(images, torch.arange(5) % 3, torch.arange(5), batch_size=2, image_size=32, views=show)
    found = collect(classifier, loader, "32-true", "")
    with torch.no_grad():
        each = classifier(show(images, 32)).softmax(dim=1).view(count, 5, 3)
    assert np.exp(found.logits) == pytest.approx(each.mean(dim=0).numpy(), abs=1e-6)
    assert found.labels.tolist() == [0, 1, 2, 0, 1]
