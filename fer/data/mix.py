"""Images mixed in pairs, with their labels: mixup and CutMix, on the device.

As with augmentation, all choices stand in a table that the caller draws.
"""

import numpy as np
import torch
from torch import Tensor

from fer.data.augment import interval
from fer.errors import ConfigError

KIND, SHARE, TOP, LEFT = range(4)  # columns of the table


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
