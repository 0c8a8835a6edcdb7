import pytest

from fer.emotions import EMOTIONS, MISSPELT, OTHER_LANGUAGES, SYNONYMS, emotion_name, nearest_emotion


def test_the_order_of_every_distribution():
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("anger", "angry"),
        ("Angry", "angry"),
        ("DISGUSTED", "disgust"),
        ("fearful", "fear"),
        ("afraid", "fear"),
        ("Happiness", "happy"),
        ("joy", "happy"),
        ("sadness", "sad"),
        ("surprised", "surprise"),
        ("contemptuous", "contempt"),
        (" neutral ", "neutral"),
        ("03_fear", "fear"),
        ("5-sad", "sad"),
        ("Suprise", "surprise"),
        ("sad images", "sad"),
        ("happy_faces", "happy"),
        ("HappyFaces", "happy"),
        ("fearimgs", "fear"),
        ("train_angry", "angry"),
        ("sur-prise", "surprise"),
        ("Wut", "angry"),
        ("02_Ärger", "angry"),
        ("Überraschung", "surprise"),
        ("de\u0301gou\u0302t", "disgust"),  # as macOS writes accents
        ("Colère", "angry"),
        ("felicità", "happy"),
        ("miedo", "fear"),
        ("нейтральный", "neutral"),
        ("悲伤", "sad"),
        ("혐오", "disgust"),
    ],
)
def test_synonyms_case_and_numbering(text, emotion):
    assert emotion_name(text) == emotion


@pytest.mark.parametrize(
    "text", ["", "7", "not happy", "happy sad", "Neural", "faces", "unhappy", "train", "NF", "unknown", "S010"]
)
def test_anything_else_is_no_emotion(text):
    assert emotion_name(text) is None


def test_every_name_means_itself_and_every_synonym_a_name():
    assert [emotion_name(emotion) for emotion in EMOTIONS] == list(EMOTIONS)
    assert {emotion_name(word) for word in SYNONYMS} <= set(EMOTIONS)
    assert {emotion_name(word) for word in MISSPELT} <= set(EMOTIONS)
    assert not (set(SYNONYMS) | set(MISSPELT)) & set(EMOTIONS)
    translated = [word for words in OTHER_LANGUAGES.values() for word in words.split()]
    assert len(translated) == len(set(translated))
    assert {word: emotion_name(word) for words in OTHER_LANGUAGES.values() for word in words.split()} == {
        word: emotion for emotion, words in OTHER_LANGUAGES.items() for word in words.split()
    }


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("Neural", "neutral"),
        ("Natural", "neutral"),
        ("Surpriz", "surprise"),
        ("happy people", "happy"),
        ("Hapyness2", "happy"),
        ("S010", None),
        ("unhappy", None),
        ("train", None),
        ("", None),
    ],
)
def test_an_odd_name_suggests_the_nearest_emotion(text, emotion):
    assert nearest_emotion(text) == emotion
