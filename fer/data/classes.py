"""Which emotions are told apart: those that were asked for, or those of the data set that have images."""

import logging
from collections.abc import Sequence

import numpy as np

from fer.data.pack import Pack
from fer.emotions import EMOTIONS, emotion_name
from fer.errors import ConfigError, DataError

log = logging.getLogger(__name__)


def choose_classes(pack: Pack, name: str, requested: Sequence[str] | None, default: Sequence[str]) -> list[str]:
    """The classes, in order.

    Args:
        pack: that must have images of them.
        name: of the data, for messages.
        requested: emotions asked for; one without images is an error.
        default: taken where none are asked for; one without images is left out with a warning.

    Raises:
        DataError: an emotion asked for without images, or fewer than two classes left.
        ConfigError: an emotion asked for twice, or only one.
    """
    present = set(pack.emotions.tolist())
    if requested is not None:
        absent = [emotion for emotion in requested if emotion not in present]
        if absent:
            raise DataError(
                f"data.classes names {', '.join(absent)}, of which {pack.folder} has no image; "
                f"it has {', '.join(e for e in EMOTIONS if e in present)}"
            )
        if len(set(requested)) != len(requested):
            raise ConfigError(f"data.classes names an emotion twice: {', '.join(requested)}")
        if len(requested) < 2:
            raise ConfigError("data.classes names fewer than two emotions: there is nothing to distinguish")
        return list(requested)
    classes = [emotion for emotion in default if emotion in present]
    absent = [emotion for emotion in default if emotion not in present]
    if absent:
        log.warning("%s has no %s images: %d classes remain", name, " or ".join(absent), len(classes))
    if len(classes) < 2:
        raise DataError(f"data={name} has images of {len(classes)} class(es): {described(pack)}")
    return classes


def described(pack: Pack) -> str:
    """Splits of a pack with their numbers of images and their emotions, in words."""
    counts = pack.manifest["counts"]
    return "; ".join(f"{split}: {sum(by.values())} images, {', '.join(by)}" for split, by in counts.items())


def numbered(emotions: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The number of each image's class, int64 [N]; -1 for any other emotion."""
    class_of = {emotion: index for index, emotion in enumerate(classes)}
    return np.array([class_of.get(emotion, -1) for emotion in emotions], dtype=np.int64)


def vocabulary(word: str) -> str:
    """The emotion that a word of the config means.

    Raises:
        ConfigError: it means none.
    """
    emotion = emotion_name(str(word))
    if emotion is None:
        raise ConfigError(f"{word!r} is no emotion of the vocabulary: {', '.join(EMOTIONS)}")
    return emotion
