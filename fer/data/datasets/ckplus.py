"""CK+ in its original tree (Lucey et al. 2010): sequences from a neutral face to the peak of an emotion.

`cohn-kanade-images/S005/001/S005_001_00000001.png …` and `Emotion/S005/001/S005_001_00000011_emotion.txt`. As is
usual, the last three frames of a labelled sequence show its emotion and the first shows a neutral face.
"""

import re
from collections import defaultdict
from pathlib import PurePosixPath

from fer.data.datasets import DatasetFacts, Reference
from fer.data.samples import Listing, RawSample
from fer.data.sources import Source
from fer.errors import DataError

FRAME = re.compile(r"(?P<subject>S\d{3})_(?P<sequence>\d{3})_(?P<frame>\d{8})$")
LABEL = re.compile(r"(?P<subject>S\d{3})_(?P<sequence>\d{3})_\d{8}_emotion$")
EMOTION_OF_CODE = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
PEAK_FRAMES = 3

Sequence = tuple[str, str]  # subject, number

FACTS = DatasetFacts(
    name="ckplus",
    title="CK+",
    owner="P. Lucey, J. F. Cohn, T. Kanade et al. (2010)",
    access="https://www.jeffcohn.net/Resources/",
    by_agreement=True,
    licence="by agreement; no redistribution, pictures of a few consenting subjects only in print",
    protocol="ten subject-exclusive folds; a ninth of the training subjects validates",
    caveats=(
        "CK+ was posed in a laboratory: frontal, evenly lit, at the height of an expression asked for. Spontaneous "
        "expressions are weaker and rarer; expect far lower numbers on them.",
        "Few people are in CK+: adults of 18 to 50 years, by its makers' count 69 % women, 81 % Euro-American, 13 % "
        "Afro-American, 6 % others (Lucey et al. 2010). That is no sample of anybody's users.",
    ),
    references=(
        Reference(
            "98.06 %", "FMPN, 7 classes with contempt, 981 images", "ten subject-exclusive folds; no validation part"
        ),
        Reference(
            "94.04 %", "ResNet-18 on CK+48, a popular repository", "627 of 990 test rows show people of training"
        ),
    ),
    other_names=("cohnkanade", "ckplus48"),
    file_name=FRAME,
    layouts=("original CK+ sequences", "class folders with CK+ subject names"),
)


def list_samples(source: Source, votes: bool = False) -> Listing | None:
    """Peak and neutral frames of the labelled sequences; the others are left, one reason for each sequence.

    Raises:
        DataError: labels without any frame, or a label file that holds no known code.
    """
    labels = _label_files(source)
    if not labels:
        return None
    frames: dict[Sequence, dict[str, str]] = defaultdict(dict)  # number of the frame -> name
    rejected: list[tuple[str, str]] = []
    for name in source.names:
        path = PurePosixPath(name)
        match = FRAME.match(path.stem) if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp") else None
        if match and frames[match["subject"], match["sequence"]].setdefault(match["frame"], name) != name:
            rejected.append((name, "a frame that is there twice"))
    if not frames:
        raise DataError(f"{source.where} holds CK+ labels but none of their frames (cohn-kanade-images/S005/001/…)")
    samples = []
    for sequence in sorted(frames.keys() | labels.keys()):
        ordered = [name for _, name in sorted(frames.get(sequence, {}).items())]
        if sequence not in labels:
            rejected.append((_common(ordered[0]), f"a sequence without a label ({len(ordered)} frames)"))
        elif len(ordered) <= PEAK_FRAMES:
            rejected.append((labels[sequence], f"a labelled sequence of only {len(ordered)} frames"))
        else:
            emotion = _emotion(source, labels[sequence])
            samples.append(RawSample(ordered[0], "neutral", "all", sequence[0]))
            samples += [RawSample(name, emotion, "all", sequence[0]) for name in ordered[-PEAK_FRAMES:]]
    if not samples:
        raise DataError(f"{source.where}: no labelled sequence of CK+ has its frames")
    return Listing("original CK+ sequences", samples, rejected, faces="detector")


def _label_files(source: Source) -> dict[Sequence, str]:
    """The label files of a source, by sequence."""
    found = {}
    for name in source.names:
        path = PurePosixPath(name)
        match = LABEL.match(path.stem) if path.suffix.lower() == ".txt" else None
        if match:
            found[match["subject"], match["sequence"]] = name
    return found


def _emotion(source: Source, name: str) -> str:
    text = source.read(name).decode("ascii", errors="replace").strip()
    try:
        code = float(text)
    except ValueError:
        code = -1.0
    if code not in range(len(EMOTION_OF_CODE)):
        raise DataError(f"{source.where}: {name} holds {text[:30]!r}, not a code from 0 to {len(EMOTION_OF_CODE) - 1}")
    return EMOTION_OF_CODE[int(code)]


def _common(name: str) -> str:
    """The folder of a sequence."""
    return str(PurePosixPath(name).parent)
