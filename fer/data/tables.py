"""Data sets as tables: faces written as numbers in `.csv`.

A row of `fer2013.csv` and its kin is a face: `emotion`, `pixels` and often `Usage`. The contest's own file,
`icml_face_data.csv` (whose headers start with a space), `train.csv` without splits and `ckextended.csv` number their
classes alike; the last adds contempt. Words in place of numbers are read too.
"""

import csv
import io
import logging
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import IO

import numpy as np

from fer.data.folder_source import Source
from fer.data.samples import Listing, RawSample
from fer.data.sources import DAMAGE, LARGEST_STREAM
from fer.data.split_words import settled, split_word
from fer.data.table_text import TableFormat, is_table_of_faces, table_format, whole_number
from fer.emotions import emotion_name
from fer.errors import DataError

log = logging.getLogger(__name__)

CLASS_ORDER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
LABEL_COLUMNS = ("emotion", "label", "labels", "expression", "class")  # the first of them that a table has
OF_LABELS = re.compile("emotion|label|expression|class")  # in the names of other columns of labels
OF_WORDS = re.compile(f"{OF_LABELS.pattern}|name|word|text|category")  # in those of words beside numbers
SPLIT_COLUMNS = ("usage", "split", "subset", "partition", "set")  # the first of them that a table has says the split
TEXT_TABLES = (".csv", ".tsv", ".tab")


def tables_of(source: Source) -> dict[str, TableFormat]:
    """The tables of a source, in text, and how to read each.

    Raises:
        DataError: a damaged archive around one.
    """
    found = {}
    for name in source.names:
        if name.lower().endswith(TEXT_TABLES) or (len(source.names) == 1 and name.lower().endswith(".txt")):
            try:
                with source.open(name) as file:
                    found[name] = table_format(file)
            except DAMAGE as error:
                raise DataError(f"{name} is damaged ({error}): download it again") from error
            except OSError as error:
                raise DataError(f"{source.where}: {name} cannot be read ({error.strerror or error})") from error
    return found


def pixel_tables(source: Source) -> dict[str, TableFormat]:
    """The tables of a source that hold faces.

    Raises:
        DataError: one holds faces, but its header cannot be read.
    """
    tables = tables_of(source)
    return {name: table for name, table in tables.items() if is_table_of_faces(f"{source.where}: {name}", table)}


def list_table(source: Source, tables: dict[str, TableFormat]) -> Listing:
    """The faces of the labelled table that says which split each is of; where none does, of all whose names say it.

    Raises:
        DataError: no labelled table, several of which nothing says what they are, or a malformed row, named by table
            and line.
    """
    where = source.where
    labelled = [name for name, table in tables.items() if _label_column(table.columns)]
    if not labelled:
        name, table = next(iter(tables.items()))
        raise DataError(
            f"{where}: {name} has no `emotion` column ({table.header[:60]}): faces without labels teach nothing"
        )
    split_of = _chosen(labelled, tables, where)
    read = ", ".join(split_of)
    rejected = [(name, f"the faces were read from {read}") for name in source.names if name not in split_of]
    samples: list[RawSample] = []
    faces: list[np.ndarray] = []
    numbers: set[int | None] = set()
    for name, whole in split_of.items():
        title, label, words = PurePosixPath(name).stem, _label_column(tables[name].columns), ""
        assert label is not None, "labelled tables have one"
        for line, row in _rows(source, name, tables[name]):
            place = f"{where}: {name}, line {line}"
            words = words or _column_of_words(row, label)
            faces.append(_face(row["pixels"], place, faces[0].shape if faces else None))
            split = whole or _split(row, place)
            samples.append(RawSample(f"{title}/{line:06d}", _emotion(row[words], place), split, ""))
            numbers.add(whole_number(row[words]))
    if not samples:
        raise DataError(f"{where}: {read} has a header and no rows")
    if numbers >= set(range(1, 7)) and 0 not in numbers:
        raise DataError(
            f"{where}: the emotions of {read} are numbered 1 to {max(number or 0 for number in numbers)}, those of "
            f"FER2013 0 to 6: which is which is unknown; write words ({', '.join(CLASS_ORDER)}) in place of the numbers"
        )
    kind = "without splits" if list(split_of.values()) == ["train"] else "with splits"
    means = settled(sample.split for sample in samples)
    samples = [replace(sample, split=means[sample.split]) for sample in samples]
    return Listing(f"pixel table {kind}", samples, rejected, images=np.stack(faces))


def _chosen(labelled: list[str], tables: dict[str, TableFormat], where: str) -> dict[str, str | None]:
    """The tables to read, and the split of each; None where its rows say theirs."""
    if with_usage := sorted(name for name in labelled if _split_column(tables[name].columns)):
        return {with_usage[0]: None}
    split_of = {name: split_word(PurePosixPath(name).stem) for name in sorted(labelled)}
    if len(labelled) == 1:
        return {labelled[0]: split_of[labelled[0]] or "train"}
    if None in split_of.values() or len(set(split_of.values())) < len(split_of):
        raise DataError(
            f"{where} holds several tables of faces ({', '.join(split_of)}) without a column Usage: name them train, "
            "val and test, or give the path of one"
        )
    return dict(split_of)


def _label_column(columns: Iterable[str]) -> str | None:
    """The column of labels: by the names that data sets give it, else the first whose name speaks of them."""
    others = (column for column in columns if OF_LABELS.search(column))
    return next((column for column in LABEL_COLUMNS if column in columns), None) or next(others, None)


def _column_of_words(row: Mapping[str, str], label: str) -> str:
    """The column to read labels from: a row's own, or where those are numbers, of any order, one of words beside."""
    others = [column for column in row if OF_WORDS.search(column) and column != label]
    if whole_number(row[label]) is None:
        return label
    words = next((column for column in others if emotion_name(row[column])), label)
    if words != label:
        log.info("labels: the words in %s, for the numbers in %s may be of any order", words, label)
    return words


def _split_column(columns: Iterable[str]) -> str | None:
    return next((column for column in SPLIT_COLUMNS if column in columns), None)


def _rows(source: Source, name: str, table: TableFormat) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each row."""
    where = source.where
    for column, number in Counter(table.columns).items():
        if number > 1 and column in ("pixels", *LABEL_COLUMNS, *SPLIT_COLUMNS):
            raise DataError(f"{where}: {name} has {number} columns named {column}: leave one of them")
    try:
        with source.open(name) as file:
            for line, fields in table.rows(_Bounded(file, where)):
                if len(fields) != len(table.columns):
                    raise DataError(
                        f"{where}: {name}, line {line} has {len(fields)} fields, its header {len(table.columns)}"
                    )
                yield line, dict(zip(table.columns, fields, strict=True))
    except UnicodeError as error:
        raise DataError(f"{where}: {name} is damaged or no {table.encoding.upper()} text ({error})") from error
    except (csv.Error, *DAMAGE) as error:
        raise DataError(f"{where}: {name} is damaged or no table ({error})") from error


class _Bounded(io.RawIOBase):
    """A stream that ends in an error where more comes than any table of faces has."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self.file, self.where, self.seen = file, where, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self.file.read(len(buffer))
        self.seen += len(block)
        if self.seen > LARGEST_STREAM:
            raise DataError(f"{self.where} unpacks to more than {LARGEST_STREAM >> 30} GiB: give the plain table")
        buffer[: len(block)] = block
        return len(block)


def _face(text: str, place: str, shape: tuple[int, ...] | None) -> np.ndarray:
    """The pixels of a row: uint8 [S, S]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # numpy's way to say that text was left over
            levels = np.fromstring(text, dtype=np.int32, sep=" ")
    except (DeprecationWarning, ValueError):
        return _face(_plain(text, place), place, shape)
    side = math.isqrt(len(levels))
    if side * side != len(levels) or side == 0 or (shape is not None and shape != (side, side)):
        expected = "a square number" if shape is None else f"{shape[0] * shape[1]}"
        raise DataError(f"{place}: {len(levels)} pixels, not {expected}")
    if levels.min() < 0 or levels.max() > 255:
        raise DataError(f"{place}: a pixel outside 0 to 255")
    return levels.astype(np.uint8).reshape(side, side)


def _plain(text: str, place: str) -> str:
    """The pixels of a row that pandas wrote as a list, `[70, 80, 82]`, or as `70.0 80.0 82.0`: `70 80 82`."""
    words = text.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
    levels = [whole_number(word) for word in words]
    if None in levels or text == (plain := " ".join(map(str, levels))):
        hint = ": they were cut short where they were written" if "..." in words else ""
        raise DataError(f"{place}: its pixels are not whole numbers separated by spaces{hint}")
    return plain


def _emotion(text: str, place: str) -> str:
    word = text.strip()
    if (number := whole_number(word)) is not None and 0 <= number < len(CLASS_ORDER):
        return CLASS_ORDER[number]
    emotion = emotion_name(word)
    if emotion is None:
        raise DataError(f"{place}: emotion {word!r} is neither 0 to {len(CLASS_ORDER) - 1} nor a name")
    return emotion


def _split(row: dict[str, str], place: str) -> str:
    column = _split_column(row)
    assert column is not None, "without one, the name of the table says the split"
    split = split_word(row[column])
    if split is None:
        raise DataError(
            f"{place}: {column.title()} {row[column].strip()!r} is none of Training, PublicTest, PrivateTest"
        )
    return split
