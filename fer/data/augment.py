"""Augmentation on the device: one affine map and one resampling for the whole batch, tones, erasing, mixing in pairs.

Every random choice is a number in a table that the caller draws (`Augment.draw`, `Mix.draw`), so that a batch is a pure
function of the images and its rows of that table: the same on any device, for any batch size, on any rank.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fer.errors import ConfigError

# Columns of the table of uniform numbers in [0, 1).
FLIP, ROTATION, SCALE, SHIFT_X, SHIFT_Y, BRIGHTNESS, CONTRAST = range(7)
ERASE, ERASE_AREA, ERASE_ASPECT, ERASE_X, ERASE_Y, ERASE_TONE = range(7, 13)
COLUMNS = 13
KIND, SHARE, TOP, LEFT = range(4)  # columns of the table of `Mix`


class Augment:
    """Random flip, rotation, scale and shift as one affine map; brightness and contrast; random erasing.

    Args:
        flip: probability of a horizontal flip.
        rotation: largest rotation, degrees either way.
        scale: smallest and largest magnification of the face.
        shift: largest translation, as a fraction of the side, either way.
        brightness: largest change of brightness, as a fraction of the full range, either way.
        contrast: largest relative change of contrast, either way.
        erase: probability that a rectangle is painted over (Zhong et al., Random Erasing, AAAI 2020).
        erase_area: smallest and largest rectangle, as a fraction of the image.

    Raises:
        ConfigError: a probability outside [0, 1], a range upside down.
    """

    def __init__(
        self,
        flip: float = 0.0,
        rotation: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        shift: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        erase: float = 0.0,
        erase_area: tuple[float, float] = (0.02, 0.2),
    ) -> None:
        for name, value in (("flip", flip), ("erase", erase)):
            if not 0 <= value <= 1:
                raise ConfigError(f"augment.{name}={value} is a probability: give a number from 0 to 1")
        for name, (low, high) in (("scale", scale), ("erase_area", erase_area)):
            if not 0 < low <= high:
                raise ConfigError(f"augment.{name}=[{low},{high}]: give two numbers over 0, the smaller first")
        self.flip, self.rotation, self.scale, self.shift = flip, rotation, tuple(scale), shift
        self.brightness, self.contrast = brightness, contrast
        self.erase, self.erase_area = erase, tuple(erase_area)

    @staticmethod
    def draw(count: int, generator: torch.Generator) -> Tensor:
        """The random choices of `count` images: uniform numbers, float [count, COLUMNS], on the CPU."""
        return torch.rand(count, COLUMNS, generator=generator)

    def __call__(self, images: Tensor, size: int, choices: Tensor) -> Tensor:
        """Augment and resample.

        Args:
            images: uint8 [B, C, H, W].
            size: side S of the output, pixels.
            choices: rows of `draw` for these images, float [B, COLUMNS], on the images' device.

        Returns:
            float [B, C, S, S] in [0, 1].
        """
        faces = resample(images, size, self.affine(choices))
        if self.brightness or self.contrast:
            faces = self._tones(faces, choices)
        if self.erase:
            faces = self._erase(faces, choices)
        return faces

    def affine(self, choices: Tensor) -> Tensor:
        """The map from output to input positions, both in [-1, 1]: float [B, 2, 3]."""
        angle = _spread(choices[:, ROTATION], math.radians(self.rotation))
        low, high = (math.log(edge) for edge in self.scale)
        zoom = torch.exp(-(low + (high - low) * choices[:, SCALE]))  # larger faces: a smaller window
        mirror = torch.where(choices[:, FLIP] < self.flip, -1.0, 1.0)
        cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        x, y = _spread(choices[:, SHIFT_X], 2 * self.shift), _spread(choices[:, SHIFT_Y], 2 * self.shift)
        return torch.stack([mirror * cos, -mirror * sin, x, sin, cos, y], dim=1).view(-1, 2, 3)

    def _tones(self, faces: Tensor, choices: Tensor) -> Tensor:
        gain = 1 + _spread(choices[:, CONTRAST], self.contrast)
        offset = _spread(choices[:, BRIGHTNESS], self.brightness) + 0.5 * (1 - gain)
        return torch.addcmul(_per_image(offset), faces, _per_image(gain)).clamp_(0, 1)

    def _erase(self, faces: Tensor, choices: Tensor) -> Tensor:
        low, high = self.erase_area
        area = low + (high - low) * choices[:, ERASE_AREA]
        aspect = torch.exp(_spread(choices[:, ERASE_ASPECT], math.log(3.0)))
        rows = interval((area * aspect).sqrt().clamp(max=1), choices[:, ERASE_Y], faces.shape[2])
        columns = interval((area / aspect).sqrt().clamp(max=1), choices[:, ERASE_X], faces.shape[3])
        chosen = (choices[:, ERASE] < self.erase)[:, None]
        patch = (rows & chosen)[:, None, :, None] & columns[:, None, None, :]
        return torch.where(patch, _per_image(choices[:, ERASE_TONE]), faces)


class Mix:
    """Each image is blended with the next of its batch (mixup), or has a rectangle of it (CutMix).

    Zhang et al., mixup (ICLR 2018); Yun et al., CutMix (ICCV 2019). An image keeps the greater part of itself, so
    that its own label stays the likeliest.

    Args:
        mixup: alpha of the Beta distribution of shares; 0 does without.
        cutmix: the same for CutMix; where both are given, each image gets one or the other, evenly.
        probability: share of the images that are mixed.

    Raises:
        ConfigError: a negative alpha, or a probability outside [0, 1].
    """

    def __init__(self, mixup: float = 0.0, cutmix: float = 0.0, probability: float = 1.0) -> None:
        if mixup < 0 or cutmix < 0:
            raise ConfigError(f"mix.mixup={mixup}, mix.cutmix={cutmix}: give an alpha of 0 or more")
        if not 0 <= probability <= 1:
            raise ConfigError(f"mix.probability={probability}: give a number from 0 to 1")
        self.mixup, self.cutmix, self.probability = mixup, cutmix, probability

    @property
    def mixes(self) -> bool:
        return (self.mixup > 0 or self.cutmix > 0) and self.probability > 0

    def draw(self, count: int, generator: np.random.Generator) -> Tensor:
        """The choices of `count` images, float [count, 4]: CutMix (1) or mixup (0), own share, position."""
        kind = generator.random(count) < (0.5 if self.mixup and self.cutmix else float(self.cutmix > 0))
        alphas = np.where(kind, self.cutmix or 1.0, self.mixup or 1.0)
        share = generator.beta(alphas, alphas)
        share = np.where(generator.random(count) < self.probability, np.maximum(share, 1 - share), 1.0)
        return torch.from_numpy(np.column_stack([kind, share, generator.random((count, 2))])).float()

    def __call__(self, images: Tensor, targets: Tensor, choices: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Args:
            images: float [B, C, S, S].
            targets: share of each class, float [B, K].
            choices: rows of `draw`, float [B, 4], on the images' device.

        Returns:
            images and targets, mixed.
        """
        cut, share = choices[:, KIND, None, None] > 0.5, choices[:, SHARE]
        side = (1 - share).sqrt()
        rows = interval(side, choices[:, TOP], images.shape[2])
        columns = interval(side, choices[:, LEFT], images.shape[3])
        patch = rows[:, :, None] & columns[:, None, :]
        own = torch.where(cut, (~patch).to(images.dtype), share[:, None, None])[:, None]  # [B, 1, S, S]
        kept = own.mean(dim=(1, 2, 3))[:, None]  # as the pixels fell, not as they were asked for
        return torch.lerp(images.roll(1, 0), images, own), torch.lerp(targets.roll(1, 0), targets, kept)


def resample(images: Tensor, size: int, affine: Tensor | None = None) -> Tensor:
    """One bilinear resampling of the central square, mirrored beyond its edges.

    Shrinking by two or more averages whole blocks first, for bilinear weights would skip pixels.

    Args:
        images: uint8 [B, C, H, W].
        size: side S of the output, pixels.
        affine: map from output to input positions, float [B, 2, 3]; None is the identity.

    Returns:
        float [B, C, S, S] in [0, 1].
    """
    faces = images.to(torch.float32).div_(255)
    height, width = images.shape[-2:]
    if affine is None and height == width == size:
        return faces
    shrink = min(height, width) // size
    if shrink >= 2:
        faces = F.avg_pool2d(faces, shrink)
        height, width = faces.shape[-2:]
    if affine is None:
        affine = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
    if height != width:
        side = min(height, width)
        affine = affine * torch.tensor([[side / width], [side / height]], device=images.device)
    return F.grid_sample(faces, _grid(affine, size), mode="bilinear", padding_mode="reflection", align_corners=False)


def _grid(affine: Tensor, size: int) -> Tensor:
    """Input position of each output pixel: float32 [B, S, S, 2].

    As `F.affine_grid`, whose matrix product would round positions under autocast and TF32.
    """
    centres = (2 * torch.arange(size, device=affine.device) + 1) / size - 1
    by_x, by_y, offset = affine[:, :, :, None, None].unbind(2)  # each [B, 2, 1, 1]
    return (by_x * centres + by_y * centres[:, None] + offset).movedim(1, -1)


def _spread(uniform: Tensor, reach: float) -> Tensor:
    """[0, 1) -> [-reach, reach)."""
    return (2 * uniform - 1) * reach


def _per_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def interval(length: Tensor, position: Tensor, size: int) -> Tensor:
    """Pixels of a side that an interval of a relative length covers: bool [B, size]."""
    start = position * (1 - length) * size
    centres = torch.arange(size, device=length.device) + 0.5
    return (centres >= start[:, None]) & (centres < (start + length * size)[:, None])
