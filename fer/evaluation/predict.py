"""Logits of a whole split, without a trainer."""

from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track

from fer.data.loader import DeviceLoader
from fer.device import autocast
from fer.model.classifier import ExpressionClassifier


@dataclass(frozen=True)
class Predictions:
    """One row per image, in the order of the pack."""

    logits: np.ndarray  # float32 [N, K]
    labels: np.ndarray  # int64 [N]
    rows: np.ndarray  # int64 [N], rows of the pack


@torch.inference_mode()
def collect(classifier: ExpressionClassifier, loader: DeviceLoader, precision: str, title: str) -> Predictions:
    """Run a classifier over a loader, in the precision it was trained in."""
    classifier.eval()
    device = loader.device
    logits, labels, rows = [], [], []
    with autocast(device, precision):
        for batch in track(loader, description=title, total=len(loader), transient=True):
            logits.append(classifier(batch.images).float())
            labels.append(batch.labels)
            rows.append(batch.rows)
    return Predictions(*(torch.cat(part).cpu().numpy() for part in (logits, labels, rows)))
