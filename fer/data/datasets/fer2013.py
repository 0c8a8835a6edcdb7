"""FER2013 (Goodfellow et al. 2013): a pixel table, or class folders whose file names hold the contest's split."""

import re

from fer.data.datasets import DatasetFacts, Reference

PAPER = "Hernández et al. 2023"
LEAK = "on which it was selected too: a leak"

FACTS = DatasetFacts(
    name="fer2013",
    title="FER2013",
    owner="I. Goodfellow, P.-L. Carrier, A. Courville et al. (2013)",
    access="https://www.kaggle.com/datasets/msambare/fer2013",
    licence="none stated: do not redistribute",
    protocol="train on Training, select on PublicTest, test on PrivateTest once",
    official_split=True,
    caveats=(
        "FER2013 was gathered by image search for emotion words and labelled with much noise: people reach about "
        "65 ± 5 % on it (Goodfellow et al. 2013), and many of the largest losses are wrong or doubtful labels.",
        "Who is in FER2013 is unknown: nobody was asked, ages and origins are uncounted, and the same person may be in "
        "training and test.",
    ),
    references=(
        Reference(
            "65.17 %",
            f"{PAPER}: ResNet-18, fastai, ImageNet weights, 224 px, 20 epochs",
            "PublicTest, by the rows of its confusion matrix: the validation set",
        ),
        Reference("67.51 %", f"{PAPER}: its headline", "2,423 of 3,589; model and split not named"),
        Reference("65 ± 5 %", "people", "Goodfellow et al. 2013"),
        Reference("72.42 %", "ResNet-34, ImageNet weights, 224 px", "clean; ten random views of each test face"),
        Reference("73.2 %", "ResNet-50, pretrained on faces, 197 px", "reported as clean; not checked"),
        Reference(
            "72.97 %",
            "ResNet-18 from random weights, 44-px crops, 250 epochs (Wu 2018)",
            f"PrivateTest, ten crops, {LEAK}",
        ),
        Reference("73.28 %", "VGG, tuned schedule (Khaireddin & Chen 2021)", "PublicTest; selected on PrivateTest"),
        Reference(
            "73.70 %",
            "ResNet-18 from random weights, 40-px crops, 300 epochs, mixup, smoothing (Yuan 2021)",
            f"PrivateTest, ten crops, {LEAK}",
        ),
        Reference("74.14 %", "Residual Masking Network", "clean; random views of each test face"),
        Reference("76.12 %", "EmoNeXt", "clean; ten crops"),
        Reference("76.82 %", "seven networks voting", "searched on validation"),
    ),
    file_name=re.compile(r"(?i)(?P<split>training|publictest|privatetest)[-_ ]?\d+(?!\d)"),
    split_folders=frozenset({"publictest", "privatetest"}),
    table_rows=(35_887, 28_709),  # all, and the contest's train.csv
    layouts=("class folders with FER2013 split prefixes", "class folders with FER2013 split folders"),
)
