"""What tells later how unlike the faces of training another face is, from the data of training."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fer.data.datamodule import FERDataModule
from fer.evaluation.inspection import BATCH_SIZE, as_seen
from fer.models.classifier import ExpressionClassifier
from fer.models.novelty import EXAMPLES, Novelty, features_of, watched_stages

MAX_VALIDATION = 2000  # images that tell the border


def fit_novelty(
    classifier: ExpressionClassifier, datamodule: FERDataModule, device: torch.device | None = None
) -> Novelty | None:
    """The statistics of a trained classifier, see `fit_features`.

    Args:
        classifier: is put into evaluation mode and onto the device.
        datamodule: of its training, set up.
        device: to work on; None is the CPU.
    """
    device = device or torch.device("cpu")
    classifier = classifier.eval().to(device)
    return fit_features(lambda images: stage_features(classifier, images, device), datamodule)


def fit_features(features_of: Callable[[np.ndarray], Tensor | None], datamodule: FERDataModule) -> Novelty | None:
    """The statistics of what a network sees in images of its training and validation.

    Args:
        features_of: uint8 [N, H, W(, 3)] -> float [N, D], or None.
        datamodule: of its training, set up.

    Returns:
        None where there are no validation images, or the network has no stages with maps or tokens.
    """
    assert datamodule.pack is not None, "setup comes first"
    features = []
    for split, most in (("train", EXAMPLES), ("val", MAX_VALIDATION)):
        rows = np.sort(np.random.default_rng(0).permutation(datamodule.splits[split])[:most])
        found = features_of(np.asarray(datamodule.pack.images[rows])) if len(rows) else None
        if found is None:
            return None
        features.append(found)
    return Novelty.fit(*features)


@torch.inference_mode()
def stage_features(classifier: ExpressionClassifier, images: np.ndarray, device: torch.device) -> Tensor | None:
    """Features, float32 [N, D] on the CPU, of uint8 [N, H, W(, 3)]; None of a network without stages."""
    parts = []
    # A compiled network would not call the hooks.
    with torch.compiler.set_stance("force_eager"), watched_stages(classifier.evaluated_network) as seen:
        for some in np.split(images, range(BATCH_SIZE, len(images), BATCH_SIZE)):
            classifier(as_seen(classifier, some, device))
            parts.append(features_of(seen).cpu())
    found = torch.cat(parts)
    return found if found.numel() else None
