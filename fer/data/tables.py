"""Data sets as tables: faces written as numbers in `.csv`, encoded pictures in the parquet of Hugging Face.

A row of `fer2013.csv` and its kin is a face: `emotion`, `pixels` and often `Usage`. The contest's own file,
`icml_face_data.csv` (whose headers start with a space), `train.csv` without splits and `ckextended.csv` number their
classes alike; the last adds contempt. Words in place of numbers are read too. In parquet uploaders number classes as
they like, so the names come from the schema that the `datasets` library stores in the file.
"""

import csv
import io
import json
import logging
import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import IO, Any

import numpy as np

from fer.data.file_kinds import SNIFFED, not_data
from fer.data.folder_source import LARGEST_MEMBER, Source
from fer.data.samples import Listing, RawSample
from fer.data.sources import DAMAGE, LARGEST_STREAM
from fer.data.split_words import settled, split_word
from fer.data.table_text import TableFormat, is_table_of_faces, table_format
from fer.emotions import emotion_name
from fer.errors import DataError

log = logging.getLogger(__name__)

CLASS_ORDER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
LABEL_COLUMNS = ("emotion", "label", "labels", "expression", "class")  # the first of them that a table has
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
        raise DataError(f"{where}: {next(iter(tables))} has no `emotion` column: faces without labels teach nothing")
    split_of = _chosen(labelled, tables, where)
    read = ", ".join(split_of)
    rejected = [(name, f"the faces were read from {read}") for name in source.names if name not in split_of]
    samples: list[RawSample] = []
    faces: list[np.ndarray] = []
    for name, whole in split_of.items():
        title, label = PurePosixPath(name).stem, _label_column(tables[name].columns)
        assert label is not None, "labelled tables have one"
        for line, row in _rows(source, name, tables[name]):
            place = f"{where}: {name}, line {line}"
            faces.append(_face(row["pixels"], place, faces[0].shape if faces else None))
            split = whole or _split(row, place)
            samples.append(RawSample(f"{title}/{line:06d}", _emotion(row[label], place), split, ""))
    if not samples:
        raise DataError(f"{where}: {read} has a header and no rows")
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
    return next((column for column in LABEL_COLUMNS if column in columns), None)


def _split_column(columns: Iterable[str]) -> str | None:
    return next((column for column in SPLIT_COLUMNS if column in columns), None)


def _rows(source: Source, name: str, table: TableFormat) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each row."""
    where = source.where
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
        raise DataError(f"{place}: its pixels are not whole numbers separated by spaces") from None
    side = math.isqrt(len(levels))
    if side * side != len(levels) or side == 0 or (shape is not None and shape != (side, side)):
        expected = "a square number" if shape is None else f"{shape[0] * shape[1]}"
        raise DataError(f"{place}: {len(levels)} pixels, not {expected}")
    if levels.min() < 0 or levels.max() > 255:
        raise DataError(f"{place}: a pixel outside 0 to 255")
    return levels.astype(np.uint8).reshape(side, side)


def _emotion(text: str, place: str) -> str:
    word = text.strip()
    if word.isdecimal() and int(word) < len(CLASS_ORDER):
        return CLASS_ORDER[int(word)]
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


def parquet_files(source: Source) -> list[str]:
    """The parquet files of a source."""
    return [name for name in source.names if name.lower().endswith(".parquet")]


def list_parquet(source: Source, names: list[str]) -> Listing:
    """The pictures of all parquet files; a file's name (`train-00000-of-00001.parquet`) gives its split.

    Raises:
        DataError: pyarrow is not installed, no column of pictures or labels, labels without names, or a class that
            is no emotion.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(f'{source.where} is parquet: pip install "fer-experiments[parquet]"') from None
    samples: list[RawSample] = []
    contents: list[bytes] = []
    rejected = [(name, "not parquet") for name in source.names if name not in names]
    for name in names:
        place = f"{source.where}: {name}"
        with source.open(name) as file:
            if what := not_data(file.read(SNIFFED)):
                raise DataError(f"{place} is {what}")
            file.seek(0)
            try:
                table = pyarrow.parquet.read_table(file)
            except (pyarrow.ArrowException, OSError, *DAMAGE) as error:
                raise DataError(f"{place} is damaged or no parquet ({' '.join(str(error).split())[:200]})") from error
        pictures, labels = _columns(table, place)
        splits, of_file = _splits_of_rows(table, place), _split_of_file(name)
        for row, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
            title = f"{PurePosixPath(name).with_suffix('')}/{row:06d}"  # a folder per split may hold files of one name
            content = picture.get("bytes") if isinstance(picture, dict) else picture
            if label is None or not isinstance(content, bytes) or len(content) > LARGEST_MEMBER:
                rejected.append((title, "no label" if label is None else "no picture in its row"))
                continue
            samples.append(RawSample(title, label, (splits[row] if splits else of_file) or "", ""))
            contents.append(content)
    if not samples:
        raise DataError(f"{source.where}: {names[0]} holds no labelled picture")
    samples = _with_splits(samples)
    return Listing("parquet", samples, rejected, contents=dict(zip((s.name for s in samples), contents, strict=True)))


def _columns(table: Any, place: str) -> tuple[list[Any], list[str | None]]:
    """Pictures and emotions of each row; None where a row has no label."""
    columns = {column.lower(): column for column in table.column_names}
    picture = next((columns[name] for name in ("image", "img", "picture") if name in columns), None)
    label = next((columns[name] for name in LABEL_COLUMNS if name in columns), None)
    if picture is None or label is None:
        raise DataError(f"{place} has columns {', '.join(table.column_names)}: none named image, or none named label")
    values = table.column(label).to_pylist()
    several = next((value for value in values if not isinstance(value, int | str | None)), None)
    if several is not None:
        raise DataError(f"{place}: label {str(several)[:60]} is no class number and no word")
    if any(isinstance(value, int) for value in values):
        names = _class_names(table.schema.metadata or {}, label)
        if names is None:
            raise DataError(f"{place}: its labels are numbers that its schema does not name: convert it to folders")
        outside = [value for value in values if value is not None and not -1 <= value < len(names)]
        if outside:
            raise DataError(f"{place}: label {outside[0]} is none of {len(names)} classes")
        values = [None if value is None or value == -1 else names[value] for value in values]
    emotions = {word: emotion_name(str(word)) for word in set(values) - {None}}
    unknown = [word for word, emotion in emotions.items() if emotion is None]
    if unknown:
        raise DataError(f"{place}: class {unknown[0]!r} is no emotion of the vocabulary")
    return table.column(picture).to_pylist(), [None if word is None else emotions[word] for word in values]


def _class_names(metadata: dict[bytes, bytes], column: str) -> list[str] | None:
    """The names that the `datasets` library keeps for a column of class numbers."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    if isinstance(names, dict):  # older versions: {"0": "angry", ...}
        names = [names[key] for key in sorted(names, key=int)]
    return [str(name) for name in names] if isinstance(names, list) else None


def _split_of_file(name: str) -> str | None:
    """The split that the name of a parquet file, or of the nearest folder, names; None where none does."""
    path = PurePosixPath(name)
    return next(filter(None, (split_word(word) for word in (path.stem, *reversed(path.parts[:-1])))), None)


def _splits_of_rows(table: Any, place: str) -> list[str] | None:
    """The split of each row, where a column of words says it."""
    columns = {column.lower(): column for column in table.column_names}
    column = _split_column(columns)
    values = table.column(columns[column]).to_pylist() if column else []
    if not column or not all(isinstance(value, str) for value in values):
        return None
    split_of = {value: split_word(value) for value in set(values)}
    if unknown := [value for value, split in split_of.items() if split is None]:
        raise DataError(f"{place}: {columns[column]} {unknown[0][:60]!r} is none of train, val, test")
    return [str(split_of[value]) for value in values]


def _with_splits(samples: list[RawSample]) -> list[RawSample]:
    """Samples of parquet files with what `eval` means; those of files that name no split train if no file names one."""
    means = settled(sample.split for sample in samples if sample.split)
    unnamed = sorted({str(PurePosixPath(sample.name).parent) for sample in samples if not sample.split})
    if means and unnamed:
        log.warning("%s.parquet names no split, as other files do: it neither trains nor tests", ", ".join(unnamed))
    otherwise = "all" if means else "train"
    return [replace(sample, split=means[sample.split] if sample.split else otherwise) for sample in samples]
