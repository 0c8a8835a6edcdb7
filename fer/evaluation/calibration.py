"""Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017)."""

import math

import numpy as np
import torch

COLDEST, HOTTEST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The divisor of the logits under which the labels are most likely, within [0.05, 20].

    The negative log-likelihood is convex in the inverse temperature, so halving an interval finds its one minimum.

    Args:
        logits: float [N, K], of images the network was not trained on.
        labels: int [N].
    """
    scores = torch.from_numpy(logits).double()
    of_labels = scores[torch.arange(len(labels)), torch.from_numpy(labels)]
    low, high = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(40):
        middle = (low + high) / 2
        expected = ((scores / math.exp(middle)).softmax(dim=1) * scores).sum(dim=1)
        overconfident = bool((expected - of_labels).mean() > 0)  # the slope of the loss in the inverse temperature
        low, high = (middle, high) if overconfident else (low, middle)
    return math.exp((low + high) / 2)
