"""RAF-DB (Li et al. 2017) and AffectNet (Mollahosseini et al. 2017): colour faces with labels beside them."""

import io
import re
from pathlib import PurePosixPath

import numpy as np

from fer.data.samples import Listing, RawSample
from fer.data.sources import Source
from fer.errors import DataError

RAFDB_LIST = "list_patition_label.txt"  # spelt so by its authors
RAFDB_EMOTIONS = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "angry", "7": "neutral"}
AFFECTNET_EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
AFFECTNET_LABEL = re.compile(r"(?:^|/)(train|val)_set/annotations/(\d+)_exp\.npy$")
AFFECTNET_FACE = re.compile(r"(?:^|/)(train|val)_set/images/(\d+)\.(?:jpg|jpeg|png)$", re.IGNORECASE)


def rafdb_list(source: Source) -> str | None:
    """The label list of RAF-DB within a source; None where there is none."""
    return next((name for name in source.names if PurePosixPath(name).name == RAFDB_LIST), None)


def list_rafdb(source: Source, labels: str, where: str) -> Listing:
    """The aligned faces of RAF-DB, split by the prefix of their names.

    Raises:
        DataError: a malformed line of the label list, or no aligned face.
    """
    emotion_of = {}
    for number, line in enumerate(source.read(labels).decode("utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        match line.split():
            case [name, code] if code in RAFDB_EMOTIONS and name.startswith(("train_", "test_")):
                emotion_of[PurePosixPath(name).stem] = RAFDB_EMOTIONS[code]
            case _:
                raise DataError(f"{where}: {labels}, line {number}: {line[:60]!r} is not `train_00001.jpg 5`")
    samples, rejected = [], []
    for name in source.names:
        stem = PurePosixPath(name).stem
        key = stem.removesuffix("_aligned")
        if stem.endswith("_aligned") and key in emotion_of:
            samples.append(RawSample(name, emotion_of[key], key.split("_")[0], ""))
        elif name != labels:
            rejected.append((name, "not an aligned face of the label list"))
    if not samples:
        raise DataError(f"{where}: {labels} stands, but no face of it (basic/Image/aligned/train_00001_aligned.jpg)")
    return Listing("RAF-DB, aligned", samples, rejected)


def is_affectnet(source: Source) -> bool:
    """Whether a source holds AffectNet's annotation files."""
    return any(AFFECTNET_LABEL.search(name) for name in source.names)


def list_affectnet(source: Source, where: str) -> Listing:
    """The faces of AffectNet with one of its eight expressions; its `val_set` is the test split, as is usual.

    Raises:
        DataError: no face with an annotation.
    """
    faces, samples, rejected = {}, [], []
    for name in source.names:
        if match := AFFECTNET_FACE.search(name):
            faces[match[1], match[2]] = name
    for name in source.names:
        match = AFFECTNET_LABEL.search(name)
        if not match:
            continue
        face = faces.pop((match[1], match[2]), None)
        code = _code(source.read(name))
        if face is None:
            rejected.append((name, "an annotation without its face"))
        elif code is None or not 0 <= code < len(AFFECTNET_EMOTIONS):
            rejected.append((face, f"expression {code} is none of the eight" if code is not None else "no expression"))
        else:
            samples.append(RawSample(face, AFFECTNET_EMOTIONS[code], "train" if match[1] == "train" else "test", ""))
    rejected += [(name, "a face without annotation") for name in faces.values()]
    if not samples:
        raise DataError(f"{where}: annotations of AffectNet, but no face with one (train_set/images/0.jpg)")
    return Listing("AffectNet", sorted(samples, key=lambda sample: sample.name), rejected)


def _code(content: bytes) -> int | None:
    try:
        return int(np.load(io.BytesIO(content), allow_pickle=False))
    except (ValueError, TypeError, EOFError, OSError):
        return None
