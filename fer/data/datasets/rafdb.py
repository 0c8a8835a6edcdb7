"""RAF-DB (Li et al. 2017): aligned colour faces, their labels in a list beside them."""

from pathlib import PurePosixPath

from fer.data.datasets import DatasetFacts, Reference
from fer.data.samples import Listing, RawSample
from fer.data.sources import Source
from fer.errors import DataError

LABEL_LIST = "list_patition_label.txt"  # its authors spell it so
EMOTION_OF_CODE = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "angry", "7": "neutral"}
ON_TEST = "in the code: the best of the epochs on the test images"

FACTS = DatasetFacts(
    name="rafdb",
    title="RAF-DB",
    owner="S. Li, W. Deng, J. Du (2017)",
    access="http://www.whdeld.cn/RAF/model1.html",
    by_agreement=True,
    licence="by agreement, research only",
    protocol="the official train and test parts; a ninth of the training images validates",
    official_split=True,
    caveats=(
        "RAF-DB is from the web, its basic labels what most of about 40 annotators chose (Li et al. 2017); happy faces "
        "are the most frequent by far, and the same person may be in training and test.",
    ),
    references=(
        Reference("88.14 %", "SCN (Wang 2020)", "official split, which has no validation part; selection not checked"),
        Reference("90.35 %", "EAC (Zhang 2022)", "the same"),
        Reference("92.21 %", "POSTER++ (Mao 2023)", ON_TEST),
        Reference("94.76 %", "ResEmoteNet (Roy 2024)", ON_TEST),
    ),
    layouts=("RAF-DB, aligned",),
)


def list_samples(source: Source, votes: bool = False) -> Listing | None:
    """The aligned faces, split by the prefix of their names.

    Raises:
        DataError: a malformed line of the label list, or no aligned face.
    """
    labels = next((name for name in source.names if PurePosixPath(name).name == LABEL_LIST), None)
    if labels is None:
        return None
    emotion_of = {}
    for number, line in enumerate(source.read(labels).decode("utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        match line.split():
            case [name, code] if code in EMOTION_OF_CODE and name.startswith(("train_", "test_")):
                emotion_of[PurePosixPath(name).stem] = EMOTION_OF_CODE[code]
            case _:
                raise DataError(f"{source.where}: {labels}, line {number}: {line[:60]!r} is not `train_00001.jpg 5`")
    samples, rejected = [], []
    for name in source.names:
        stem = PurePosixPath(name).stem
        key = stem.removesuffix("_aligned")
        if stem.endswith("_aligned") and key in emotion_of:
            samples.append(RawSample(name, emotion_of[key], key.split("_")[0], ""))
        elif name != labels:
            rejected.append((name, "not an aligned face of the label list"))
    if not samples:
        raise DataError(
            f"{source.where} holds {labels}, but none of its faces (basic/Image/aligned/train_00001_aligned.jpg)"
        )
    return Listing("RAF-DB, aligned", samples, rejected)
