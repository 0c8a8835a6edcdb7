"""Predict a whole split, without a trainer: one model or an ensemble, one view of each image or several."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fer.console import track
from fer.data.augment import resample
from fer.data.datamodule import FERDataModule
from fer.data.loader import DeviceLoader
from fer.device import autocast
from fer.errors import ConfigError, DivergenceError
from fer.evaluation.split_predictions import softmax
from fer.models.classifier import ExpressionClassifier

CROP = 0.9  # side of a crop, as a fraction of the image's
CORNERS_AND_CENTRE = ((-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0))

Views = Callable[[Tensor, int], Tensor]  # uint8 [B, C, H, W], size S -> float [V * B, C, S, S] in [0, 1], view by view


@dataclass(frozen=True)
class ModelOutputs:
    """One row per image, in the order of the pack."""

    logits: np.ndarray  # float32 [N, K]
    labels: np.ndarray  # int64 [N]
    rows: np.ndarray  # int64 [N], rows of the pack


@dataclass(frozen=True)
class EnsembleMember:
    """A model, alone or one of several, with how to run it."""

    classifier: ExpressionClassifier
    precision: str  # of Lightning's, the one it was trained in
    temperature: float = 1.0  # divisor of its logits in an ensemble of several
    name: str = "the model"  # for errors


def predict_split(
    members: Sequence[EnsembleMember], datamodule: FERDataModule, split: str, device: torch.device, tta: str = "none"
) -> ModelOutputs:
    """Predict a split with one model, or with the mean of several models' probabilities.

    Args:
        members: at least one; all with the same classes, in any order.
        datamodule: set up; images have each model's own size where it asks for no other.
        split: one of the module's.
        device: to work on.
        tta: none, flip or tencrop: the views whose probabilities are averaged.

    Returns:
        Logits by the first member's classes (of an ensemble: logarithms of mean probabilities), and labels by the same;
        -1 for images of classes that the models do not know.

    Raises:
        ConfigError: members with different classes, unknown views.
        DivergenceError: outputs that are not finite.
    """
    classes = members[0].classifier.classes
    of_members = []
    for member in members:
        own = member.classifier.classes
        if sorted(own) != sorted(classes):
            raise ConfigError(
                f"{member.name} has the classes {', '.join(own)}, {members[0].name} {', '.join(classes)}: "
                "an ensemble needs models with the same classes"
            )
        stored = member.classifier.stored_size
        sharper = stored is not None and datamodule.stored_size > stored
        count, show = views(tta, len(member.classifier.mean), stored if sharper else None)
        loader = datamodule.eval_loader(
            split,
            device,
            image_size=datamodule.requested_image_size or member.classifier.image_size,
            batch_size=max(1, datamodule.eval_batch_size // count),
            views=show,
        )
        title = f"evaluating {split}" + (f", {member.name}" if len(members) > 1 else "")
        outputs = collect(member.classifier.to(device), loader, member.precision, title)
        of_members.append(outputs.logits[:, [own.index(emotion) for emotion in classes]])
        if len(members) > 1:
            member.classifier.cpu()
    logits = of_members[0] if len(members) == 1 else _mean_of_members(of_members, members)
    index_of = {datamodule.classes.index(name): k for k, name in enumerate(classes) if name in datamodule.classes}
    labels = [index_of.get(label, -1) for label in outputs.labels.tolist()]
    return ModelOutputs(logits, np.array(labels, dtype=np.int64), outputs.rows)


def _mean_of_members(logits: Sequence[np.ndarray], members: Sequence[EnsembleMember]) -> np.ndarray:
    """Logarithms of the mean of the members' calibrated probabilities, float32 [N, K]."""
    shares = [softmax(own, member.temperature) for own, member in zip(logits, members, strict=True)]
    return np.log(np.maximum(np.mean(shares, axis=0), 1e-300)).astype(np.float32)


@torch.inference_mode()
def collect(classifier: ExpressionClassifier, loader: DeviceLoader, precision: str, title: str) -> ModelOutputs:
    """Run a classifier over a loader, in the precision it was trained in.

    Where the loader shows several views of each image, the logits are logarithms of the mean probabilities.

    Raises:
        DivergenceError: outputs that are not finite.
    """
    classifier.eval()
    device = loader.device
    logits, labels, rows = [], [], []
    with autocast(device, precision):
        for batch in track(loader, title, len(loader)):
            logits.append(_mean_of_views(classifier(batch.images).float(), len(batch.labels)))
            labels.append(batch.labels)
            rows.append(batch.rows)
    found = ModelOutputs(*(torch.cat(part).cpu().numpy() for part in (logits, labels, rows)))
    wrong = int((~np.isfinite(found.logits)).any(axis=1).sum())
    if wrong:
        raise DivergenceError(
            f"the model's outputs for {wrong} of {len(found.rows)} images are no numbers in {precision}; "
            "try precision=32-true, and if that does not help, another checkpoint"
        )
    return found


def _mean_of_views(logits: Tensor, images: int) -> Tensor:
    """Logits of all views, [V * B, K], view by view -> [B, K]."""
    count = len(logits) // images
    if count == 1:
        return logits
    shares = logits.log_softmax(dim=1).view(count, images, -1)
    return shares.logsumexp(dim=0) - math.log(count)


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
        stored_size: side of the images that it was trained on, pixels: larger images, which
            would be sharper than those, are first resized to it; None where that is unknown.

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
