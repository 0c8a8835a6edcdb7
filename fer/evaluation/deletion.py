"""Whether Grad-CAM points at what a network uses: deleting the brightest part of its map against a disk in the centre.

Faces are centred, so that deleting the centre hurts any network. A map that tells something of this network hurts it
more (deletion metric; Petsiuk et al. 2018, RISE).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from fer.evaluation.inspection import as_seen, class_maps
from fer.evaluation.intervals import LEVEL, by_unit, ratio_variance
from fer.evaluation.split_predictions import SplitPredictions
from fer.models.classifier import ExpressionClassifier

DELETED = 0.2  # of the pixels
IMAGES, BATCH_SIZE = 64, 16


def deletion_check(classifier: ExpressionClassifier, predictions: SplitPredictions) -> dict[str, Any]:
    """By how much the probability of the predicted class falls, by the names of `metrics.json`; empty without maps.

    `gradcam_drop` and `gradcam_drop_centre` are means over images drawn at random, `gradcam_gain_ci95` is the 95 %
    interval of the difference of the two, over people or photographs where they are known.

    Args:
        classifier: that made the predictions.
        predictions: of a split; `images` must be at hand.
    """
    if predictions.images is None:
        return {}
    chosen = np.random.default_rng(0).permutation(len(predictions))[:IMAGES]
    drops = []
    for rows in np.split(chosen, range(BATCH_SIZE, len(chosen), BATCH_SIZE)):
        images, targets = predictions.images(rows), predictions.predicted[rows]
        maps = class_maps(classifier, images, targets.tolist(), classifier.device)
        if maps is None:
            return {}
        drops.append(_drops(classifier, as_seen(classifier, images, classifier.device), targets, maps))
    by_map, by_centre = np.concatenate(drops, axis=1)
    gains, sizes = by_unit((by_map - by_centre)[None], None if predictions.units is None else predictions.units[chosen])
    gain, interval = float((by_map - by_centre).mean()), None
    if len(sizes) > 1:
        reach = stats.t.ppf(1 - LEVEL / 2, len(sizes) - 1) * np.sqrt(ratio_variance(gains[0], sizes))
        interval = [float(gain - reach), float(gain + reach)]
    return {
        "gradcam_images": len(chosen),
        "gradcam_drop": float(by_map.mean()),
        "gradcam_drop_centre": float(by_centre.mean()),
        "gradcam_gain_ci95": interval,
    }


def deletion_in_words(metrics: Mapping[str, Any], split: str) -> str:
    """A sentence on what the check found; empty where it was not made.

    Args:
        metrics: by the names of `metrics.json`.
        split: whose predictions were explained.
    """
    count, by_map, by_centre, interval = (
        metrics.get(f"{split}/gradcam_{name}") for name in ("images", "drop", "drop_centre", "gain_ci95")
    )
    if count is None or by_map is None or by_centre is None:
        return ""
    shown = f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else ""
    better, worse = "the maps do better than the centre of the face", "it is not shown that the maps say more than that"
    verdict = better if interval and interval[0] > 0 else worse
    return (
        f"Checked on {count} images: without the brightest {DELETED:.0%} of the map the probability of the predicted "
        f"class falls by {100 * by_map:.1f} points, without a disk of that size in the centre by "
        f"{100 * by_centre:.1f} (difference {100 * (by_map - by_centre):.1f}{shown}): {verdict}."
    )


@torch.inference_mode()
def _drops(classifier: ExpressionClassifier, faces: Tensor, targets: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """What deleting by the map and in the centre takes from the probability of the targets: float64 [2, N]."""
    count, _, height, width = faces.shape
    deleted = round(DELETED * height * width)
    rows = torch.from_numpy(maps).flatten(1)
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    centre = -(y**2 + x**2).flatten().expand(count, -1)
    shares = [_shares(classifier, faces, targets)]
    for score in (rows, centre):
        brightest = torch.zeros(rows.shape, dtype=torch.bool)
        brightest.scatter_(1, score.argsort(dim=1, descending=True, stable=True)[:, :deleted], True)
        hidden = brightest.view(count, 1, height, width).to(faces.device)
        shares.append(_shares(classifier, torch.where(hidden, classifier.mean.to(faces), faces), targets))
    return np.stack([shares[0] - without for without in shares[1:]])


def _shares(classifier: ExpressionClassifier, faces: Tensor, targets: np.ndarray) -> np.ndarray:
    """The probability of each image's target, float64 [N]."""
    found = classifier(faces).double().softmax(dim=1).cpu().numpy()
    return found[np.arange(len(found)), targets]
