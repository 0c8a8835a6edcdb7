"""AffectNet (Mollahosseini et al. 2017): colour faces, as its owners shipped it first and as they ship it now.

First: `training.csv`, `validation.csv` and whole pictures in `Manually_Annotated_Images/`, with the box of each face.
Now: face crops in `train_set/images/` and `val_set/images/`, an annotation file for each in `annotations/` beside.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from fer.data.datasets import DatasetFacts, Reference
from fer.data.left_out import left_out_lines
from fer.data.samples import Listing, RawSample
from fer.data.sources import DAMAGE, Source
from fer.data.split_words import split_word
from fer.data.table_text import TableFormat, whole_number
from fer.data.tables import tables_of
from fer.emotions import emotion_name
from fer.errors import DataError
from fer.faces.pictures import PICTURES

EMOTION_OF_CODE = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
PART = r"(?:^|/)(train|val|test)(?:ing|idation)?(?:_set)?"  # of the data set, as a folder
LABEL = re.compile(rf"{PART}/annotations/(\d+)_exp\.npy$", re.IGNORECASE)
FACE = re.compile(rf"{PART}/images/(\d+)(?:{'|'.join(map(re.escape, PICTURES))})$", re.IGNORECASE)
COLUMNS = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
TABLE_COLUMNS = {"subdirectory_filepath", "expression"}
BOX_COLUMNS = ("face_x", "face_y", "face_width", "face_height")
ON_TEST = "its validation set, as is usual; in the code: the best of the epochs on it"

FACTS = DatasetFacts(
    name="affectnet",
    title="AffectNet",
    owner="A. Mollahosseini, B. Hasani, M. H. Mahoor (2017)",
    access="http://mohammadmahoor.com/affectnet/",
    by_agreement=True,
    licence="by agreement, research only",
    protocol="its validation set is tested, as is usual; a ninth of the training images validates",
    official_split=True,
    caveats=(
        "AffectNet was gathered by web search and labelled by one person per image; where two labelled the same, they "
        "agreed on 61 % (Mollahosseini et al. 2017). Its validation set, used as test, has as many images of each "
        "class, unlike the world.",
    ),
    references=(
        Reference("67.49 %", "POSTER++, 7 classes (Mao 2023)", ON_TEST),
        Reference("63.77 %", "POSTER++, 8 classes (Mao 2023)", ON_TEST),
        Reference("72.39 %", "ResEmoteNet, 7 classes (Roy 2024)", ON_TEST),
    ),
    layouts=("AffectNet", "AffectNet with tables"),
)


def list_samples(source: Source, votes: bool = False) -> Listing | None:
    """The faces with one of eight expressions; the validation part is the test split.

    Raises:
        DataError: no face with an annotation, or a malformed table.
    """
    if any(LABEL.search(name) for name in source.names):
        return _with_annotations(source)
    tables = {name: table for name, table in tables_of(source).items() if _is_labelled(table)}
    return _with_tables(source, tables) if tables else None


def _is_labelled(table: TableFormat) -> bool:
    return {*table.columns} >= TABLE_COLUMNS or _has_no_header(table)


def _has_no_header(table: TableFormat) -> bool:
    """Whether the first line of a table is a face in the columns of its owners, as of their `validation.csv`."""
    columns = table.columns
    return (
        len(columns) == len(COLUMNS.split(","))
        and columns[0].endswith(PICTURES)
        and whole_number(columns[6]) is not None
    )


def _with_annotations(source: Source) -> Listing:
    faces, samples, rejected = {}, [], []
    for name in source.names:
        if match := FACE.search(name):
            faces[match[1].lower(), match[2]] = name
    has_test = any((match := LABEL.search(name)) and match[1].lower() == "test" for name in source.names)
    for name in source.names:
        match = LABEL.search(name)
        if not match:
            continue
        part = match[1].lower()
        face = faces.pop((part, match[2]), None)
        split = {"train": "train", "val": "val" if has_test else "test", "test": "test"}[part]
        code = _code(source.read(name))
        if face is None:
            rejected.append((name, "an annotation without its face"))
        elif code is None or not 0 <= code < len(EMOTION_OF_CODE):
            rejected.append((face, _no_emotion(code)))
        else:
            samples.append(RawSample(face, EMOTION_OF_CODE[code], split, ""))
    rejected += [(name, "a face without annotation") for name in faces.values()]
    told = {*(sample.name for sample in samples), *(name for name, _ in rejected)}
    pictures = (name for name in source.names if name.lower().endswith(PICTURES) and name not in told)
    rejected += [(name, "a picture in no images/ of train_set, val_set or test_set") for name in pictures]
    if not samples:
        raise DataError(
            f"{source.where}: annotations of AffectNet, but no face with one (train_set/images/0.jpg): "
            f"{'; '.join(left_out_lines(rejected)[:3])}"
        )
    return Listing("AffectNet", sorted(samples, key=lambda sample: sample.name), rejected)


def _with_tables(source: Source, tables: dict[str, TableFormat]) -> Listing:
    """The faces that tables label; those that a program labelled only where they are given alone."""
    by_people = [name for name in tables if "automatic" not in name.lower()]
    rejected = [
        (name, "labelled by a program: give it alone to train on it") for name in tables if name not in by_people
    ]
    if not by_people:
        by_people, rejected = list(tables), []
    pictures = {_key(name): name for name in source.names if name.lower().endswith(PICTURES)}
    samples, boxes = {}, {}
    for table in by_people:
        word = split_word(PurePosixPath(table).stem)
        split = {"train": "train", None: "train" if len(by_people) == 1 else "all"}.get(word, "test")
        for place, row in _rows(source, table, tables[table]):
            path = row["subdirectory_filepath"].strip()
            name = pictures.get(_key(path))
            emotion = _emotion(row["expression"])
            if name is None:
                rejected.append((f"{PurePosixPath(table).stem}/{path}", "an annotation without its face"))
            elif name in samples:
                rejected.append((name, "labelled twice: the first label counts"))
            elif emotion is None:
                rejected.append((name, _no_emotion(row["expression"].strip())))
            else:
                samples[name] = RawSample(name, emotion, split, "")
                if (box := _box(row, place)) is not None:
                    boxes[name] = box
    told = {*samples, *by_people, *(name for name, _ in rejected)}
    rejected += [(name, "a picture without annotation") for name in pictures.values() if name not in told]
    if not samples:
        raise DataError(
            f"{source.where} holds {by_people[0]} of AffectNet, but no picture with an emotion (its pictures are in "
            f"Manually_Annotated_Images beside it): {'; '.join(left_out_lines(rejected)[:3])}"
        )
    return Listing("AffectNet with tables", [samples[name] for name in sorted(samples)], rejected, boxes=boxes)


def _rows(source: Source, name: str, table: TableFormat) -> Iterator[tuple[str, dict[str, str]]]:
    columns = table.columns
    if _has_no_header(table):
        columns, table = tuple(COLUMNS.lower().split(",")), replace(table, skipped=table.skipped - 1)
    try:
        with source.open(name) as file:
            for line, fields in table.rows(file):
                place = f"{source.where}: {name}, line {line}"
                if len(fields) != len(columns):
                    raise DataError(f"{place} has {len(fields)} fields, its header {len(columns)}")
                yield place, dict(zip(columns, fields, strict=True))
    except (csv.Error, UnicodeError, *DAMAGE) as error:
        raise DataError(f"{source.where}: {name} is damaged or no table ({error})") from error


def _box(row: dict[str, str], place: str) -> tuple[int, int, int, int] | None:
    """Left, top, width and height of a face, pixels; None where the table does not say them."""
    if not {*BOX_COLUMNS} <= row.keys():
        return None
    try:
        left, top, width, height = (round(float(row[column])) for column in BOX_COLUMNS)
    except (ValueError, OverflowError):
        raise DataError(f"{place}: the box of its face is no four numbers") from None
    return (left, top, width, height) if width > 0 and height > 0 else None


def _key(path: str) -> str:
    """What a path in a table and a name in the source share: the last folder and the file, in any case."""
    return "/".join(PurePosixPath(path.replace("\\", "/")).parts[-2:]).lower()


def _emotion(text: str) -> str | None:
    """The emotion of a code, or of a word in its place."""
    code = whole_number(text)
    if code is None:
        return emotion_name(text)
    return EMOTION_OF_CODE[code] if 0 <= code < len(EMOTION_OF_CODE) else None


def _no_emotion(code: int | str | None) -> str:
    return f"expression {code} is none of the eight" if code not in (None, "") else "no expression"


def _code(content: bytes) -> int | None:
    try:
        return whole_number(str(np.load(io.BytesIO(content), allow_pickle=False).item()))
    except (ValueError, TypeError, EOFError, OSError):
        return None
