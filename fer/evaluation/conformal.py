"""Prediction sets that hold the true class with a promised probability (split conformal prediction).

A set holds every class whose calibrated probability reaches a threshold, and at least the most probable one. The
threshold is that at which the true class of 90 % of validation images would be held, with the correction for their
number (Vovk et al. 2005; Sadinle et al. 2019, Least ambiguous set-valued classifiers). For new images that are like
those of validation the promise holds on average whatever the model; not for each class, nor for other data, so that
coverage is measured on test.
"""

import math

import numpy as np

PROMISED = 0.9  # share of sets that hold the true class


def fit_set_threshold(probabilities: np.ndarray, labels: np.ndarray, promised: float = PROMISED) -> float:
    """The least probability of a class in a set; 0, which puts all classes in, where there are too few images.

    Args:
        probabilities: calibrated, float [N, K], of images the network was not trained on.
        labels: int [N].
        promised: share of sets that hold the true class.
    """
    of_truth = np.sort(probabilities[np.arange(len(labels)), labels])
    outside = math.floor((len(labels) + 1) * (1 - promised))  # so many of N + 1 may be missed
    return 0.0 if outside == 0 else float(of_truth[outside - 1])


def prediction_sets(probabilities: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """Which classes are in the set of each image, bool [N, K].

    Args:
        probabilities: calibrated, float [N, K].
        threshold: of all images, or of each, float [N].
    """
    sets = probabilities >= np.asarray(threshold).reshape(-1, 1)
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets
