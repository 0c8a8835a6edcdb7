"""Mixed images carry their labels in proportion."""

import numpy as np
import pytest
import torch

from fer.data.augment import Mix
from fer.data.loader import DeviceLoader, class_shares
from fer.errors import ConfigError

SIZE, COUNT, CLASSES = 20, 32, 4


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Images of one grey level each, that of their class; so a pixel's level tells whose it is."""
    labels = torch.arange(COUNT) % CLASSES
    return labels.view(-1, 1, 1, 1).float().expand(-1, 1, SIZE, SIZE), class_shares(labels, CLASSES)


def mixed(mix: Mix, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return mix(*batch(), mix.draw(COUNT, np.random.default_rng(seed)))


@pytest.mark.parametrize("mix", [Mix(mixup=0.4), Mix(cutmix=1.0), Mix(mixup=0.4, cutmix=1.0)])
def test_targets_are_the_shares_of_the_pixels(mix):
    images, targets = mixed(mix)
    levels = torch.arange(CLASSES).float()
    assert torch.allclose(images.mean(dim=(1, 2, 3)), targets @ levels, atol=1e-5)
    assert torch.allclose(targets.sum(dim=1), torch.ones(COUNT))


def test_cutmix_pixels_are_of_one_image_or_the_other():
    images, targets = mixed(Mix(cutmix=1.0))
    own, other = batch()[0], batch()[0].roll(1, 0)
    assert ((images == own) | (images == other)).all()
    assert (images != own).any()
    assert (targets.max(dim=1).values < 1).any()


def test_an_image_keeps_the_greater_part_of_itself():
    _, targets = mixed(Mix(mixup=1.0))
    assert (targets.argmax(dim=1) == torch.arange(COUNT) % CLASSES).all()


def test_probability_is_the_share_of_images_mixed():
    choices = Mix(mixup=0.4, probability=0.25).draw(4000, np.random.default_rng(0))
    assert (choices[:, 1] < 1).float().mean() == pytest.approx(0.25, abs=0.03)


def test_both_take_turns():
    choices = Mix(mixup=0.4, cutmix=1.0).draw(4000, np.random.default_rng(0))
    assert choices[:, 0].mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("options", [{}, {"mixup": 0.2, "probability": 0}])
def test_nothing_to_mix(options):
    assert not Mix(**options).mixes


@pytest.mark.parametrize("options", [{"mixup": -1}, {"cutmix": -0.1}, {"mixup": 1, "probability": 2}])
def test_what_cannot_be_is_refused(options):
    with pytest.raises(ConfigError, match=r"mix\."):
        Mix(**options)


def loader(**options) -> DeviceLoader:
    images = torch.randint(0, 256, (24, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0] * 18 + [1] * 4 + [2] * 2)
    defaults = {"batch_size": 6, "image_size": 8, "shuffle": True}
    return DeviceLoader(images, labels, torch.arange(24), **(defaults | options), targets=class_shares(labels, 3))


def test_a_mixed_batch_can_be_made_again_and_differs_by_epoch():
    first, second = loader(mix=Mix(mixup=0.4, cutmix=1.0)), loader(mix=Mix(mixup=0.4, cutmix=1.0))
    assert all(torch.equal(a, b) for a, b in zip(first.batch(3, 2), second.batch(3, 2), strict=True))
    assert not torch.equal(first.batch(3, 2).targets, first.batch(4, 2).targets)


def test_mixing_leaves_order_and_augmentation_alone():
    assert torch.equal(loader(mix=Mix(mixup=0.4)).batch(1, 0).rows, loader().batch(1, 0).rows)


def test_balanced_batches_hold_every_class_as_often():
    drawn = torch.cat([batch.labels for epoch in range(60) for batch in loader(balanced=True, epoch=lambda e=epoch: e)])
    assert (torch.bincount(drawn) / len(drawn)).tolist() == pytest.approx([1 / 3] * 3, abs=0.05)


def test_the_size_of_training_images_follows_the_epoch():
    growing = loader(image_size=lambda epoch: 8 if epoch < 2 else 12)
    assert [growing.batch(epoch, 0).images.shape[-1] for epoch in (0, 1, 2, 3)] == [8, 8, 12, 12]
