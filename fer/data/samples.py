"""What a layout reader finds in a source: samples, and what it leaves out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from fer.faces.framing import Faces


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
    contents: Callable[[], Iterator[bytes]] | None = field(default=None, compare=False)  # encoded, one for each sample
    votes: np.ndarray | None = field(default=None, compare=False)  # float32 [N, 8]: shares of the vocabulary's emotions
    faces: Faces = "none"  # how packing finds the face in a picture, see `FramingRecord`; none: pictures are face crops
    boxes: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)  # left, top, width, height of faces
    groups: bytes | None = field(default=None, compare=False)  # a table of attributes, see `fer.data.attributes`
    dataset: str | None = None  # which one it is; None where the files do not tell
