"""How a classifier is shown an image that it is to judge: in its own channels, once or in several fixed views."""

from collections.abc import Callable

import torch
from torch import Tensor

from fer.data.augment import resample
from fer.errors import ConfigError

CROP = 0.9  # side of a crop, as a fraction of the image's
CORNERS_AND_CENTRE = ((-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0))

Views = Callable[[Tensor, int], Tensor]  # uint8 [B, C, H, W], size S -> float [V * B, C, S, S] in [0, 1], view by view


def flip(images: Tensor, size: int) -> Tensor:
    """The image and its mirror image."""
    faces = resample(images, size)
    return torch.cat([faces, faces.flip(-1)])


def ten_crop(images: Tensor, size: int) -> Tensor:
    """Four corners and the centre, each mirrored too (Krizhevsky et al., NeurIPS 2012); one resampling per crop."""
    crops = []
    for x, y in CORNERS_AND_CENTRE:
        affine = torch.tensor([[CROP, 0, x * (1 - CROP)], [0, CROP, y * (1 - CROP)]], device=images.device)
        crop = resample(images, size, affine.expand(len(images), 2, 3))
        crops += [crop, crop.flip(-1)]
    return torch.cat(crops)


VIEWS: dict[str, tuple[int, Views]] = {"none": (1, resample), "flip": (2, flip), "tencrop": (10, ten_crop)}


def views(tta: str, channels: int, stored_size: int | None = None) -> tuple[int, Views]:
    """The number of views of test-time augmentation, and what makes them for a network.

    Args:
        tta: none, flip or tencrop.
        channels: of the network.
        stored_size: side of the images that it was trained on, pixels: larger ones are shrunk to it first, for they
            would be sharper than any it has seen; None where that is unknown.

    Raises:
        ConfigError: a word that names none.
    """
    if tta not in VIEWS:
        raise ConfigError(f"tta={tta}: choose {', '.join(VIEWS)}")
    count, show = VIEWS[tta]

    def shown(images: Tensor, size: int) -> Tensor:
        images = in_channels(images, channels)
        if stored_size is not None and min(images.shape[-2:]) > stored_size:
            images = resample(images, stored_size).mul_(255).round_().to(torch.uint8)
        return show(images, size)

    return count, shown


def in_channels(images: Tensor, channels: int) -> Tensor:
    """Grey images for a network of colour, and the reverse, as Pillow does it: uint8 [B, channels, H, W].

    Args:
        images: uint8 [B, 1 or 3, H, W].
        channels: 1 or 3.
    """
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    red, green, blue = images.to(torch.int32).unbind(1)
    grey = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16  # ITU-R 601, in 16 bits
    return grey.to(torch.uint8).unsqueeze(1)
