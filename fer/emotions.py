"""The vocabulary: every data set numbers its classes its own way, so names are all that counts here."""

import re

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
SPLITS = ("train", "val", "test")

SYNONYMS = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "contemptuous": "contempt",
}


def emotion_name(text: str) -> str | None:
    """The emotion that a class name means (``"Happiness"``, ``"03_fear"`` -> happy, fear); None if it is none."""
    word = re.sub(r"[^a-z]", "", text.lower())
    word = SYNONYMS.get(word, word)
    return word if word in EMOTIONS else None
