"""RAF-DB (Li et al. 2017): aligned colour faces, their labels in a list beside them.

Attributes of the people are in `Annotation/manual/train_00001_manu_attri.txt`: five landmarks, then codes of gender,
race and age, as its authors call them. Copies have faces in folders named by the codes
(`train/5/train_00001_aligned.jpg`), or `train_labels.csv` beside.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from fer.data.attributes import groups_table
from fer.data.datasets import DatasetFacts, Reference
from fer.data.samples import Listing, RawSample
from fer.data.sources import DAMAGE, Source
from fer.data.split_words import split_word
from fer.data.table_text import encoding_of, table_format, whole_number
from fer.data.tables import tables_of
from fer.errors import DataError
from fer.faces.pictures import PICTURES

LABEL_LISTS = ("list_patition_label.txt", "list_partition_label.txt")  # its authors spell it the first way
FACE = re.compile(r"(?P<key>(?P<split>train|test)_\d{4,5})(_aligned)?$")
LABEL_COLUMNS = {"image", "label"}  # of the tables of copies
EMOTION_OF_CODE = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "angry", "7": "neutral"}
ATTRIBUTES_FILE = "_manu_attri.txt"
ATTRIBUTES = {  # by line of it, from the sixth; code 2 of gender is "unsure"
    "gender": {"0": "male", "1": "female"},
    "race": {"0": "Caucasian", "1": "African-American", "2": "Asian"},
    "age": {"0": "0-3", "1": "4-19", "2": "20-39", "3": "40-69", "4": "70+"},
}
ON_TEST = "in the code: the best of the epochs on the test images"

FACTS = DatasetFacts(
    name="rafdb",
    title="RAF-DB",
    owner="S. Li, W. Deng, J. Du (2017)",
    access="http://www.whdeld.cn/RAF/model1.html",
    by_agreement=True,
    licence="by agreement, research only",
    protocol="the official train and test parts; a ninth of the training images validates",
    official_split=True,
    caveats=(
        "RAF-DB is from the web, its basic labels what most of about 40 annotators chose (Li et al. 2017); happy faces "
        "are the most frequent by far, and the same person may be in training and test.",
    ),
    references=(
        Reference("88.14 %", "SCN (Wang 2020)", "official split, which has no validation part; selection not checked"),
        Reference("90.35 %", "EAC (Zhang 2022)", "the same"),
        Reference("92.21 %", "POSTER++ (Mao 2023)", ON_TEST),
        Reference("94.76 %", "ResEmoteNet (Roy 2024)", ON_TEST),
    ),
    layouts=("RAF-DB, aligned",),
)


def list_samples(source: Source, votes: bool = False) -> Listing | None:
    """The aligned faces, split by the prefix of their names; those in a folder named `val` validate.

    Raises:
        DataError: a malformed line of the label list, or no aligned face.
    """
    labels = next((name for name in source.names if PurePosixPath(name).name.lower() in LABEL_LISTS), None)
    if labels is not None:
        return _with_list(source, labels)
    tables = [name for name, table in tables_of(source).items() if {*table.columns} >= LABEL_COLUMNS]
    code_of = {key: code for name in tables for key, code in _table(source, name).items()}
    faces = {name: match for name in source.names if (match := _face(name))}
    if not any(_folder_code(name) or match["key"] in code_of for name, match in faces.items()):
        return None
    _check_codes({code for name in faces if (code := _folder_code(name))} | set(code_of.values()), source.where)
    samples, rejected = [], _faceless(code_of, faces.values(), tables)
    for name in source.names:
        match = faces.get(name)
        found = {code for code in (_folder_code(name), code_of.get(match["key"])) if code} if match else set()
        if match and len(found) == 1:
            samples.append(RawSample(name, EMOTION_OF_CODE[found.pop()], _split(name, match), ""))
        elif name not in tables:
            several = f"its folder and its table say {' and '.join(sorted(found))}"
            rejected.append((name, several if found else "not an aligned face with a label"))
    return Listing("RAF-DB, aligned", samples, rejected)


def _face(name: str) -> re.Match[str] | None:
    return FACE.match(PurePosixPath(name).stem) if name.lower().endswith(PICTURES) else None


def _folder_code(name: str) -> str | None:
    """The code that the folder of a picture is named by."""
    folder = PurePosixPath(name).parent.name
    return folder if folder.isdecimal() else None


def _split(name: str, match: re.Match[str]) -> str:
    folders = PurePosixPath(name).parts[:-1]
    return "val" if any(split_word(folder) == "val" for folder in folders) else match["split"]


def _table(source: Source, name: str) -> dict[str, str]:
    """The codes of a table of a copy; nothing where it is another table."""
    with source.open(name) as file:
        table = table_format(file)
    try:
        with source.open(name) as file:
            rows = [dict(zip(table.columns, fields, strict=False)) for _, fields in table.rows(file)]
    except (csv.Error, UnicodeError, *DAMAGE) as error:
        raise DataError(f"{source.where}: {name} is damaged or no table ({error})") from error
    found: dict[str, str] = {}
    for row in rows:
        match, code = _face(row.get("image", "").strip()), whole_number(row.get("label", ""))
        if match and code is not None:
            _label(found, match["key"], str(code), f"{source.where}: {name}")
    return found


def _label(codes: dict[str, str], key: str, code: str, place: str) -> None:
    """Note the code of a face; raises DataError where it has another one already."""
    if codes.setdefault(key, code) != code:
        raise DataError(f"{place}: {key} is labelled {codes[key]} and {code}; leave one of them")


def _check_codes(codes: set[str], where: str) -> None:
    """Raises DataError where classes are numbered otherwise than its authors number them."""
    if codes - EMOTION_OF_CODE.keys():
        ours = ", ".join(f"{code} {emotion}" for code, emotion in EMOTION_OF_CODE.items())
        raise DataError(
            f"{where}: the classes of these faces of RAF-DB are numbered {', '.join(sorted(codes))}, its authors' 1 to "
            f"7 ({ours}): which is which is unknown; name the folders, or write the labels, as its authors do"
        )


def _faceless(keys: Iterable[str], faces: Iterable[re.Match[str]], labels: list[str]) -> list[tuple[str, str]]:
    """Labels whose faces are not there, as rejected files."""
    absent = sorted(set(keys) - {match["key"] for match in faces})
    return [(f"{labels[0] if labels else ''}/{key}", "a label without its face") for key in absent]


def _with_list(source: Source, labels: str) -> Listing:
    code_of: dict[str, str] = {}
    content = source.read(labels)
    for number, line in enumerate(content.decode(encoding_of(content), errors="replace").splitlines(), 1):
        if not line.strip("\ufeff \t"):
            continue
        match re.split(r"[\s,;]+", line.strip("\ufeff \t")):
            case [name, code] if code in EMOTION_OF_CODE and (face := _face(name)):
                _label(code_of, face["key"], code, f"{source.where}: {labels}, line {number}")
            case _:
                raise DataError(f"{source.where}: {labels}, line {number}: {line[:60]!r} is not `train_00001.jpg 5`")
    aligned = {name: match for name in source.names if (match := _face(name)) and match[0].endswith("_aligned")}
    samples, rejected, attributes = [], _faceless(code_of, aligned.values(), [labels]), _attributes(source)
    for name in source.names:
        match = aligned.get(name)
        if match and match["key"] in code_of:
            samples.append(RawSample(name, EMOTION_OF_CODE[code_of[match["key"]]], match["split"], ""))
        elif name != labels and not name.endswith(ATTRIBUTES_FILE):
            rejected.append((name, "not an aligned face of the label list"))
    if not samples:
        raise DataError(
            f"{source.where} holds {labels}, but none of its faces (basic/Image/aligned/train_00001_aligned.jpg)"
        )
    known = {s.name: attributes[key] for s in samples if (key := _key(s.name)) in attributes}
    return Listing("RAF-DB, aligned", samples, rejected, groups=groups_table(known) if known else None)


def _key(name: str) -> str:
    """`train_00001`, of a face or of its attributes."""
    return PurePosixPath(name).name.removesuffix(ATTRIBUTES_FILE).partition(".")[0].removesuffix("_aligned")


def _attributes(source: Source) -> dict[str, dict[str, str]]:
    """Gender, race and age of each face that has them.

    Raises:
        DataError: a file of them in another form.
    """
    found = {}
    for name in source.names:
        if not name.endswith(ATTRIBUTES_FILE):
            continue
        codes = source.read(name).decode("utf-8", errors="replace").split()[10:]  # after five landmarks
        if len(codes) != len(ATTRIBUTES) or not all(code.isdecimal() for code in codes):
            raise DataError(f"{source.where}: {name} is not five landmarks, then codes of gender, race and age")
        of = zip(ATTRIBUTES.items(), codes, strict=True)
        found[_key(name)] = {attribute: words.get(code, "") for (attribute, words), code in of}
    return found
