"""Words for splits in the names of folders and files, and in columns: `Training`, `test_set`, `FER2013Valid`, `dev`."""

import re
from collections.abc import Iterable

from fer.emotions import words_of

WORDS = {
    "train": ("train", "training", "trn", "trainval"),
    "val": ("val", "valid", "validation", "validate", "validating", "dev", "devel", "development"),
    "test": ("test", "tests", "testing", "tst", "holdout", "heldout"),
    "eval": ("eval", "evaluation", "evaluate", "evaluating"),  # which is what the other words leave, see `settled`
}
OTHER_LANGUAGES = {
    "train": "trains entrenamiento entrainement entraînement apprentissage treino treinamento addestramento обучение",
    "val": "vals validacion validación validacao validação validazione validierung валидация 验证 验证集 検証 검증",
    "test": "prueba pruebas teste testes essai тест 测试 测试集 テスト 테스트",
}
OTHER_LANGUAGES["train"] += " тренировка 训练 训练集 訓練 훈련"
SPLIT_OF_WORD = {word: split for split, words in WORDS.items() for word in words}
SPLIT_OF_WORD |= {word: split for split, words in OTHER_LANGUAGES.items() for word in words.split()}
USAGE = {"publictest": "val", "privatetest": "test"}  # of the contest of 2013; its other word is Training
NEGATIONS = {"no", "non", "not", "un", "without", "ex"}
SUFFIX = re.compile(r"(?<=.)(sets?|datasets?|data|images?|imgs?|faces?|splits?|folders?)$")


def split_word(text: str) -> str | None:
    """What a name says of the split: train, val, test, or eval (see `settled`); None where it names none, or several.

    A word counts wherever it stands in the name: `Test-Data`, `01_train`, `FER2013Valid`, `happy_test`.
    """
    words = [word if word in SPLIT_OF_WORD else SUFFIX.sub("", word) for word in words_of(text)]
    if NEGATIONS & set(words):
        return None
    joined = "".join(words)
    for usage, split in USAGE.items():
        if usage in joined:
            return split
    if joined.startswith(("holdout", "heldout")):
        return "test"
    named = {SPLIT_OF_WORD[word] for word in words if word in SPLIT_OF_WORD}
    return named.pop() if len(named) == 1 else None


def settled(splits: Iterable[str]) -> dict[str, str]:
    """The split that each of the words found together means.

    `eval` is the test split where nothing else is called so, else the validation split; where there are both, it is
    none (`all`), for nobody can know.
    """
    found = set(splits)
    left = [split for split in ("test", "val") if split not in found]
    return {split: (left[0] if left else "all") if split == "eval" else split for split in found}
