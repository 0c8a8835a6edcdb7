"""Losses over classes, with the usual remedies for overconfidence and imbalance."""

import copy
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer.errors import ConfigError

Weighting = Literal["none", "inverse", "effective"]
MIN_DOUBT = 1e-6  # of the focal loss: at 0 the slope of a power below 1 is infinite
BETA = 0.999  # of the effective number of images (Cui et al. 2019)


class ClassificationLoss(nn.Module):
    """Cross-entropy, or with `gamma` the focal loss, with smoothed labels and weighted classes.

    Args:
        class_counts: training images of each of the K classes.
        label_smoothing: share of the target spread over all classes (Szegedy et al., CVPR 2016).
        gamma: of the focal loss, which turns to what is still wrong (Lin et al., ICCV 2017); 0 is cross-entropy.
        class_weights: of images by their label, or by the shares of a soft one: `none`; `inverse`, so that each class
            weighs as much in all; or `effective`, by the effective number of images (Cui et al., CVPR 2019). Their
            mean over the training images is 1. The answer with the least loss stays the (smoothed) target.

    Raises:
        ConfigError: a smoothing outside [0, 1), a negative gamma, an unknown weighting.
    """

    weight: Tensor | None

    def __init__(
        self,
        class_counts: Sequence[int],
        label_smoothing: float = 0.0,
        gamma: float = 0.0,
        class_weights: Weighting = "none",
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"loss.label_smoothing={label_smoothing}: give a share from 0 to below 1")
        if gamma < 0:
            raise ConfigError(f"loss.gamma={gamma}: give 0 or more")
        if class_weights not in get_args(Weighting):
            raise ConfigError(f"loss.class_weights={class_weights}: choose {', '.join(get_args(Weighting))}")
        self.label_smoothing, self.gamma = label_smoothing, gamma
        self.register_buffer("weight", class_weight(class_counts, class_weights), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over the batch.

        Args:
            logits: float [B, K].
            targets: classes, int64 [B], or the share of each class, float [B, K].
        """
        soft = targets.is_floating_point()
        if self.gamma:
            loss = self._focal(logits, targets if soft else F.one_hot(targets, logits.shape[1]).to(logits))
        else:
            loss = F.cross_entropy(logits, targets, reduction="none", label_smoothing=self.label_smoothing)
        if self.weight is not None:  # of images, not of terms: what is smoothed goes to all classes evenly
            weight = self.weight.to(loss)
            loss = loss * (targets.to(loss) @ weight if soft else weight[targets])
        return loss.mean()

    def _focal(self, logits: Tensor, shares: Tensor) -> Tensor:
        """The focal loss of each image, float [B]."""
        shares = shares * (1 - self.label_smoothing) + self.label_smoothing / logits.shape[1]
        logs = logits.log_softmax(dim=1)
        doubt = (1 - logs.exp()).clamp(min=MIN_DOUBT)
        return -(shares * doubt**self.gamma * logs).sum(dim=1)


def class_weight(class_counts: Sequence[int], weighting: Weighting) -> Tensor | None:
    """Weight of the images of each class, float [K], with mean 1 over the images counted; None for equal ones.

    A class without images, which only soft labels and validation can show, weighs 1.
    """
    if weighting == "none":
        return None
    counts = torch.tensor(class_counts, dtype=torch.float64)
    seen = counts.clamp(min=1)
    weight = 1 / seen if weighting == "inverse" else (1 - BETA) / (1 - BETA**seen)
    weight = weight * counts.sum() / (weight * counts).sum().clamp(min=1e-300)
    return torch.where(counts > 0, weight, 1.0).float()


def check_loss(loss: Callable[[Tensor, Tensor], Tensor], classes: int, soft: bool) -> None:
    """Try a loss of any origin on two images, so that one that does not fit is refused before training.

    Args:
        loss: (logits, targets) -> mean over the batch.
        classes: K.
        soft: whether targets are the share of each class, float [B, K], in place of classes, int64 [B].

    Raises:
        ConfigError: the loss does not take such targets, or does not return one number.
    """
    targets = torch.full((2, classes), 1 / classes) if soft else torch.zeros(2, dtype=torch.int64)
    name = f"loss={type(loss).__name__}"
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            value = copy.deepcopy(loss)(torch.zeros(2, classes), targets)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        wanted = (
            "the share of each class, which mix and data.soft_labels give as targets: use mix=none and "
            "data.soft_labels=false, or loss=cross_entropy"
            if soft
            else "logits [B, K] and classes [B]: use loss=cross_entropy, or a loss of that kind"
        )
        raise ConfigError(f"{name} does not take {wanted} ({reason})") from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise ConfigError(f"{name} does not return one number for a batch: give it reduction=mean")
