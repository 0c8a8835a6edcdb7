"""What others report, with the protocol it was reached by: to be set beside our rows, never among them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    data: str
    accuracy: str
    what: str
    protocol: str


PAPER = "Hernández et al. 2023"
REFERENCES = (
    Reference(
        "FER2013",
        "65.17 %",
        f"{PAPER}: ResNet-18, fastai, ImageNet weights, 224 px, 20 epochs",
        "PublicTest, by the rows of its confusion matrix: the validation set",
    ),
    Reference("FER2013", "67.51 %", f"{PAPER}: its headline", "2,423 of 3,589; model and split not named"),
    Reference("FER2013", "65 ± 5 %", "people", "Goodfellow et al. 2013"),
    Reference("FER2013", "72.42 %", "ResNet-34, ImageNet weights, 224 px", "clean; ten random views of each test face"),
    Reference("FER2013", "73.2 %", "ResNet-50, pretrained on faces, 197 px", "reported as clean; not checked"),
    Reference(
        "FER2013",
        "72.97 %",
        "ResNet-18 from random weights, 44-px crops, 250 epochs (Wu 2018)",
        "PrivateTest, ten crops, on which it was selected too: a leak",
    ),
    Reference(
        "FER2013", "73.28 %", "VGG, tuned schedule (Khaireddin & Chen 2021)", "PublicTest; selected on PrivateTest"
    ),
    Reference(
        "FER2013",
        "73.70 %",
        "ResNet-18 from random weights, 40-px crops, 300 epochs, mixup, smoothing (Yuan 2021)",
        "PrivateTest, ten crops, on which it was selected too: a leak",
    ),
    Reference("FER2013", "74.14 %", "Residual Masking Network", "clean; random views of each test face"),
    Reference("FER2013", "76.12 %", "EmoNeXt", "clean; ten crops"),
    Reference("FER2013", "76.82 %", "seven networks voting", "searched on validation"),
    Reference(
        "CK+", "98.06 %", "FMPN, 7 classes with contempt, 981 images", "ten subject-exclusive folds; no validation part"
    ),
    Reference(
        "CK+", "94.04 %", "ResNet-18 on CK+48, a popular repository", "627 of 990 test rows show people of training"
    ),
)
NOTE = (
    "Accuracies as their authors report them; clean: selected on PublicTest, tested on PrivateTest once. A number on "
    "another split, by another selection or with test-time views is not comparable with ours; the paper's figure for "
    "CK+ counts 3,589 images, which CK+ does not have, and is left out. With 3,589 test images and 73 % right, the "
    "interval of a single run is ±1.45 points."
)
