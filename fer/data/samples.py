"""What a layout reader finds in a source: samples, and what it leaves out."""

import re
from dataclasses import dataclass, field

import numpy as np

from fer.faces.framing import Faces

# Words for splits, in the names of folders, tables and parquet files, and in the column Usage.
SPLIT_OF_WORD = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
USAGE = {"publictest": "val", "privatetest": "test"}  # of the contest of 2013; its other word is Training


def split_of_word(word: str) -> str | None:
    """The split that a word names, as `Train`, `test_set` or `val-data`; None where it names none."""
    plain = re.sub(r"[-_ ]?(set|data|images|faces|split)$", "", word.strip().lower())
    return SPLIT_OF_WORD.get(plain)


def split_of_usage(text: str) -> str | None:
    """The split of a value of the contest's column Usage, or of a word for splits; None where it is neither."""
    return USAGE.get(text.strip().lower()) or split_of_word(text)


@dataclass(frozen=True)
class RawSample:
    """One picture before decoding: its path within the source, and what the source says of it."""

    name: str
    emotion: str
    split: str  # train, val, test, or all where the source has no split of its own
    subject: str  # empty where unknown


@dataclass(frozen=True)
class Listing:
    """What a reader made of a source: its samples, and the files it left with the reason."""

    layout: str
    samples: list[RawSample]
    rejected: list[tuple[str, str]]
    images: np.ndarray | None = field(default=None, compare=False)  # uint8 [N, H, W] where the source gives pixels
    contents: dict[str, bytes] | None = field(default=None, compare=False)  # encoded pictures, where it gives those
    votes: np.ndarray | None = field(default=None, compare=False)  # float32 [N, 8]: shares of the vocabulary's emotions
    faces: Faces = "none"  # how packing finds the face in a picture, see `FramingRecord`; none: pictures are face crops
    dataset: str | None = None  # which one it is; None where the files do not tell
