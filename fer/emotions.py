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
OTHER_LANGUAGES = {  # without accents, see `_plain`
    "angry": "wut zorn arger aerger colere enojo enfado rabbia raiva ofke злость гнев 生气 愤怒 怒り 분노",
    "disgust": "ekel degout asco disgusto nojo igrenme отвращение 厌恶 恶心 嫌悪 혐오",
    "fear": "angst furcht peur miedo paura medo korku страх 恐惧 害怕 恐怖 공포 두려움",
    "happy": "freude glucklich gluecklich joie heureux felicidad feliz alegria gioia felicita felicidade mutlu",
    "sad": "trauer traurig traurigkeit tristesse triste tristeza tristezza uzgun грусть печаль 悲伤 伤心 悲しみ 슬픔",
    "surprise": "uberraschung ueberraschung uberrascht sorpresa surpresa saskin удивление 惊讶 吃惊 驚き 놀람",
    "neutral": "neutre neutro neutra neutrale notr нейтральный нейтрально 中性 中立 無表情 중립 무표정",
    "contempt": "verachtung mepris desprecio desprezo disprezzo презрение 蔑视 轻蔑 軽蔑 경멸",
}
OTHER_LANGUAGES["happy"] += " радость счастье 高兴 开心 快乐 喜び 幸せ 행복 기쁨"
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
    word = SYNONYMS.get(word) or MISSPELT.get(word) or TRANSLATED.get(_plain(word)) or word
    return word if word in EMOTIONS else None


def _plain(word: str) -> str:
    """A word without accents and the like: `dégoût` -> degout."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))


TRANSLATED = {_plain(word): emotion for emotion, words in OTHER_LANGUAGES.items() for word in words.split()}
