"""AffectNet (Mollahosseini et al. 2017): colour faces, an annotation file beside each."""

import io
import re

import numpy as np

from fer.data.datasets import DatasetFacts, Reference
from fer.data.samples import Listing, RawSample
from fer.data.sources import Source
from fer.errors import DataError

EMOTION_OF_CODE = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
LABEL = re.compile(r"(?:^|/)(train|val)_set/annotations/(\d+)_exp\.npy$")
FACE = re.compile(r"(?:^|/)(train|val)_set/images/(\d+)\.(?:jpg|jpeg|png)$", re.IGNORECASE)
ON_TEST = "its validation set, as is usual; in the code: the best of the epochs on it"

FACTS = DatasetFacts(
    name="affectnet",
    title="AffectNet",
    owner="A. Mollahosseini, B. Hasani, M. H. Mahoor (2017)",
    access="http://mohammadmahoor.com/affectnet/",
    by_agreement=True,
    licence="by agreement, research only",
    protocol="its validation set is tested, as is usual; a ninth of the training images validates",
    official_split=True,
    caveats=(
        "AffectNet was gathered by web search and labelled by one person per image; where two labelled the same, they "
        "agreed on 61 % (Mollahosseini et al. 2017). Its validation set, used as test, has as many images of each "
        "class, unlike the world.",
    ),
    references=(
        Reference("67.49 %", "POSTER++, 7 classes (Mao 2023)", ON_TEST),
        Reference("63.77 %", "POSTER++, 8 classes (Mao 2023)", ON_TEST),
        Reference("72.39 %", "ResEmoteNet, 7 classes (Roy 2024)", ON_TEST),
    ),
    layouts=("AffectNet",),
)


def list_samples(source: Source, votes: bool = False) -> Listing | None:
    """The faces with one of eight expressions; `val_set` is the test split.

    Raises:
        DataError: no face with an annotation.
    """
    if not any(LABEL.search(name) for name in source.names):
        return None
    faces, samples, rejected = {}, [], []
    for name in source.names:
        if match := FACE.search(name):
            faces[match[1], match[2]] = name
    for name in source.names:
        match = LABEL.search(name)
        if not match:
            continue
        face = faces.pop((match[1], match[2]), None)
        code = _code(source.read(name))
        if face is None:
            rejected.append((name, "an annotation without its face"))
        elif code is None or not 0 <= code < len(EMOTION_OF_CODE):
            rejected.append((face, f"expression {code} is none of the eight" if code is not None else "no expression"))
        else:
            samples.append(RawSample(face, EMOTION_OF_CODE[code], "train" if match[1] == "train" else "test", ""))
    rejected += [(name, "a face without annotation") for name in faces.values()]
    if not samples:
        raise DataError(f"{source.where}: annotations of AffectNet, but no face with one (train_set/images/0.jpg)")
    return Listing("AffectNet", sorted(samples, key=lambda sample: sample.name), rejected)


def _code(content: bytes) -> int | None:
    try:
        return int(np.load(io.BytesIO(content), allow_pickle=False))
    except (ValueError, TypeError, EOFError, OSError):
        return None
