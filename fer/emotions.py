"""The vocabulary: every data set numbers its classes its own way, so names are all that counts here."""

import difflib
import re
import unicodedata

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
SPLITS = ("train", "val", "test")

SYNONYMS = {
    "anger": "angry",
    "disgusted": "disgust",
    "disgusting": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "frightened": "fear",
    "happiness": "happy",
    "joy": "happy",
    "joyful": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "neutrality": "neutral",
    "contemptuous": "contempt",
}
MISSPELT = {
    "angery": "angry",
    "angary": "angry",
    "disguist": "disgust",
    "disgus": "disgust",
    "digust": "disgust",
    "discust": "disgust",
    "disgusr": "disgust",
    "fearfull": "fear",
    "happpy": "happy",
    "hapiness": "happy",
    "happyness": "happy",
    "hapy": "happy",
    "sadnes": "sad",
    "suprise": "surprise",
    "suprised": "surprise",
    "surprize": "surprise",
    "surprized": "surprise",
    "surpise": "surprise",
    "surprice": "surprise",
    "supprise": "surprise",
    "netural": "neutral",
    "nuetral": "neutral",
    "neutal": "neutral",
    "nutral": "neutral",
    "contemp": "contempt",
}
FILLERS = re.compile(r"(faces?|facial|images?|imgs?|pictures?|pics?|photos?|expressions?|emotions?|class|label)")
PLACES = re.compile(r"(train(ing)?|val(id(ation)?)?|dev|test(ing)?|eval(uation)?|set)")  # words for splits
MIN_LIKENESS = 0.72  # of words, from 0 to 1, for a name to be near another


def emotion_name(text: str) -> str | None:
    """The emotion that a class name means; None if it is none.

    Numbers, words as faces or images, words for splits and the usual misspellings do not matter: ``"Happiness"``,
    ``"03_fear"``, ``"sad images"``, ``"Suprise"``, ``"happy_train"`` -> happy, fear, sad, surprise, happy.
    """
    telling = [word for word in words_of(text) if not FILLERS.fullmatch(word) and not PLACES.fullmatch(word)]
    word = "".join(telling)
    return _meaning(word) or _meaning(re.sub(rf"{FILLERS.pattern}$", "", word))


def nearest_emotion(text: str) -> str | None:
    """The emotion that a class name may mean, for a suggestion; None where it is like none."""
    if emotion := emotion_name(text):
        return emotion
    known = {**{emotion: emotion for emotion in EMOTIONS}, **SYNONYMS, **MISSPELT}
    for word in sorted(words_of(text), key=len, reverse=True):
        if not word.startswith("un") and (near := difflib.get_close_matches(word, known, n=1, cutoff=MIN_LIKENESS)):
            return known[near[0]]
    return None


def words_of(text: str) -> list[str]:
    """The words of a name, in lower case, without numbers: `FER2013Train_set` -> fer, train, set."""
    plain = unicodedata.normalize("NFKC", text)
    apart = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])", " ", plain)
    return re.findall(r"[^\W\d_]+", apart.lower())


def _meaning(word: str) -> str | None:
    word = SYNONYMS.get(word) or MISSPELT.get(word) or word
    return word if word in EMOTIONS else None
