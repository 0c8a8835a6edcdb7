"""What the figures of a run show, in the order in which pages and dashboards have them."""

from typing import NamedTuple


class Caption(NamedTuple):
    """A name for a figure and a sentence on how to read it."""

    title: str
    sentence: str


CAPTIONS = {
    "confusion_matrix": Caption(
        "Confusion matrix",
        "Rows are the truth, columns what the model said; each cell has its share of the row and its images, and the "
        "diagonal is what was right.",
    ),
    "confused_pairs": Caption("Most frequent mistakes", "The pairs of classes that the model mixes up most often."),
    "classes": Caption(
        "Precision, recall and F1 of each class",
        "Precision is how often the class is right when it is named, recall how many of its images are found, F1 their "
        "harmonic mean.",
    ),
    "precision_recall": Caption(
        "Precision against recall of each class",
        "What is gained in precision when fewer images of a class are named; AP is the area below the curve, the "
        "dotted line what chance gives, grey the other classes.",
    ),
    "reliability": Caption(
        "Reliability",
        "Whether the model is right as often as it says it is: on the dotted line it is; a larger mark stands for more "
        "images, and calibration divides the logits by a temperature fitted on validation images.",
    ),
    "predictions": Caption(
        "Images drawn at random", "Nine images with the prediction, its probability and the truth; orange is wrong."
    ),
    "top_losses": Caption(
        "Largest losses",
        "The images that the model is most wrong about; many of them have doubtful labels.",
    ),
    "gradcam": Caption(
        "Where the model looks (Grad-CAM)",
        "Bright is what speaks for a class: images that were right above, wrong ones below with a map for what was "
        "said and one for the truth; maps of small images are coarse.",
    ),
    "training_curves": Caption(
        "Training",
        "Loss and accuracy after each epoch; the marked epoch was the best on validation and is the one tested. "
        "The training loss is that of changed images and smoothed labels, so it may lie above that of validation.",
    ),
    "schedule": Caption(
        "Learning rates and frozen stages", "The learning rate of each part of the network, and when it was frozen."
    ),
    "lr_find": Caption(
        "Learning-rate range test", "Training loss while the rate rises; the marks are the suggested rates."
    ),
}


def in_order(names: list[str]) -> list[str]:
    """Names of figures in the order of `CAPTIONS`, those that it does not know last."""
    known = list(CAPTIONS)
    return sorted(names, key=lambda name: (known.index(name) if name in CAPTIONS else len(known), name))
