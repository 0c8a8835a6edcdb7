"""Logits of a whole split, without a trainer: of one model, or of several that vote."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from fer.data.datamodule import FERDataModule
from fer.data.loader import DeviceLoader
from fer.device import autocast
from fer.errors import ConfigError, DivergenceError
from fer.evaluation.split_predictions import softmax
from fer.evaluation.tta import views
from fer.models.classifier import ExpressionClassifier


@dataclass(frozen=True)
class Predictions:
    """One row per image, in the order of the pack."""

    logits: np.ndarray  # float32 [N, K]
    labels: np.ndarray  # int64 [N]
    rows: np.ndarray  # int64 [N], rows of the pack


@dataclass(frozen=True)
class Voter:
    """A model with what it takes to hear it."""

    classifier: ExpressionClassifier
    precision: str  # of Lightning's, the one it was trained in
    temperature: float = 1.0  # divisor of its logits where several models vote
    name: str = "the model"  # for errors


def predict_split(
    voters: Sequence[Voter], datamodule: FERDataModule, split: str, device: torch.device, tta: str = "none"
) -> Predictions:
    """What one model, or the mean of several models' probabilities, says of the images of a split.

    Args:
        voters: at least one; all with the same classes, in any order.
        datamodule: set up; the sides of images are the models' own where it does not ask for another.
        split: one of the module's.
        device: to work on.
        tta: none, flip or tencrop: the views whose probabilities are averaged.

    Returns:
        Logits by the first voter's classes (of a vote: logarithms of mean probabilities), and labels by the same;
        -1 for images of classes that the voters do not know.

    Raises:
        ConfigError: voters that tell other classes apart, unknown views.
        DivergenceError: outputs that are no numbers.
    """
    classes = voters[0].classifier.classes
    shares, found = [], None
    for voter in voters:
        own = voter.classifier.classes
        if sorted(own) != sorted(classes):
            raise ConfigError(
                f"{voter.name} tells {', '.join(own)} apart, {voters[0].name} {', '.join(classes)}: "
                "only models with the same classes can vote"
            )
        stored = voter.classifier.stored_size
        sharper = stored is not None and datamodule.stored_size > stored
        count, show = views(tta, len(voter.classifier.mean), stored if sharper else None)
        loader = datamodule.eval_loader(
            split,
            device,
            image_size=datamodule.requested_image_size or voter.classifier.image_size,
            batch_size=max(1, datamodule.eval_batch_size // count),
            views=show,
        )
        title = f"evaluating {split}" + (f", {voter.name}" if len(voters) > 1 else "")
        found = collect(voter.classifier.to(device), loader, voter.precision, title)
        shares.append(found.logits[:, [own.index(emotion) for emotion in classes]])
        if len(voters) > 1:
            voter.classifier.cpu()
    assert found is not None, "nobody votes"
    logits = shares[0]
    if len(voters) > 1:
        cooled = [softmax(share, voter.temperature) for share, voter in zip(shares, voters, strict=True)]
        logits = np.log(np.maximum(np.mean(cooled, axis=0), 1e-300)).astype(np.float32)
    number = {
        datamodule.classes.index(emotion): k for k, emotion in enumerate(classes) if emotion in datamodule.classes
    }
    labels = np.array([number.get(label, -1) for label in found.labels.tolist()], dtype=np.int64)
    return Predictions(logits, labels, found.rows)


@torch.inference_mode()
def collect(classifier: ExpressionClassifier, loader: DeviceLoader, precision: str, title: str) -> Predictions:
    """Run a classifier over a loader, in the precision it was trained in.

    Where the loader shows several views of each image, the logits are logarithms of the mean probabilities.

    Raises:
        DivergenceError: outputs that are no numbers.
    """
    classifier.eval()
    device = loader.device
    logits, labels, rows = [], [], []
    with autocast(device, precision):
        for batch in track(loader, description=title, total=len(loader), transient=True):
            logits.append(_mean_of_views(classifier(batch.images).float(), len(batch.labels)))
            labels.append(batch.labels)
            rows.append(batch.rows)
    found = Predictions(*(torch.cat(part).cpu().numpy() for part in (logits, labels, rows)))
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
