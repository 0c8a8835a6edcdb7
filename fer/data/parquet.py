"""Encoded pictures in the parquet of Hugging Face, of which a few rows at a time are in memory.

Uploaders number classes as they like, so the names come from the schema that the `datasets` library stores in the file.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from fer.data.file_kinds import SNIFFED, not_data
from fer.data.folder_source import LARGEST_MEMBER, Source
from fer.data.samples import Listing, RawSample
from fer.data.sources import DAMAGE
from fer.data.split_words import settled, split_word
from fer.data.tables import LABEL_COLUMNS, SPLIT_COLUMNS
from fer.emotions import emotion_name
from fer.errors import DataError

log = logging.getLogger(__name__)

PICTURE_COLUMNS = ("image", "img", "picture")  # the first of them that a table has
ROWS_AT_ONCE = 16  # in memory


def parquet_files(source: Source) -> list[str]:
    """The parquet files of a source."""
    return [name for name in source.names if name.lower().endswith(".parquet")]


def list_parquet(source: Source, names: list[str]) -> Listing:
    """The pictures of all parquet files; a file's name (`train-00000-of-00001.parquet`) gives its split.

    Raises:
        DataError: pyarrow is not installed, no column of pictures or labels, labels without names, or a class that
            is no emotion.
    """
    samples: list[RawSample] = []
    kept: dict[str, list[bool]] = {}  # by file, which rows are samples
    rejected = [(name, "not parquet") for name in source.names if name not in names]
    for name in names:
        has_picture, labels, splits = _columns(source, name)
        kept[name] = [label is not None and there for label, there in zip(labels, has_picture, strict=True)]
        of_file = _split_of_file(name)
        for row, label in enumerate(labels):
            title = f"{PurePosixPath(name).with_suffix('')}/{row:06d}"  # a folder per split may hold files of one name
            if label is None or not has_picture[row]:
                rejected.append((title, "no label" if label is None else "no picture in its row"))
            else:
                samples.append(RawSample(title, label, (splits[row] if splits else of_file) or "", ""))
    if not samples:
        why = rejected[-1][1] if rejected else "it has no rows"
        raise DataError(f"{source.where}: {names[0]} holds no labelled picture ({why})")
    return Listing("parquet", _with_splits(samples), rejected, contents=partial(_contents, source, kept))


@contextmanager
def _opened(source: Source, name: str) -> Iterator[Any]:
    """A parquet file; what is wrong with it becomes a DataError."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(f'{source.where} is parquet: pip install "fer-experiments[parquet]"') from None
    with source.open(name) as file:
        if what := not_data(file.read(SNIFFED)):
            raise DataError(f"{source.where}: {name} is {what}")
        file.seek(0)
        try:
            yield pyarrow.parquet.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        except (pyarrow.ArrowException, OSError, *DAMAGE) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{source.where}: {name} is damaged or no parquet ({reason})") from error


def _rows(file: Any, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """The values of these columns in each row."""
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
        yield from zip(*(batch.column(column).to_pylist() for column in columns), strict=True)


def _columns(source: Source, name: str) -> tuple[list[bool], list[str | None], list[str] | None]:
    """Of each row whether it has a picture, its emotion (None: no label), and its split where a column says it."""
    place = f"{source.where}: {name}"
    with _opened(source, name) as file:
        known = {column.lower(): column for column in file.schema_arrow.names}
        picture, label, split = (_first(known, kind) for kind in (PICTURE_COLUMNS, LABEL_COLUMNS, SPLIT_COLUMNS))
        if picture is None or label is None:
            found = ", ".join(file.schema_arrow.names)
            raise DataError(f"{place} has columns {found}: none named image, or none named label")
        rows = [
            (_is_picture(_content(value)), *others)
            for value, *others in _rows(file, [picture, label, *([split] if split else [])])
        ]
        metadata = file.schema_arrow.metadata or {}
    has_picture, labels, *words = map(list, zip(*rows, strict=True)) if rows else ([], [])
    splits = _splits(words[0], str(split), place) if words else None
    return has_picture, _emotions(labels, metadata, label, place), splits


def _contents(source: Source, kept: Mapping[str, list[bool]]) -> Iterator[bytes]:
    """The encoded picture of each sample."""
    for name, samples in kept.items():
        with _opened(source, name) as file:
            picture = _first({column.lower(): column for column in file.schema_arrow.names}, PICTURE_COLUMNS)
            for (value,), is_sample in zip(_rows(file, [str(picture)]), samples, strict=True):
                if is_sample:
                    yield _content(value)


def _first(columns: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _content(value: Any) -> Any:
    """What the `datasets` library stores of a picture holds its bytes and its path."""
    return value.get("bytes") if isinstance(value, dict) else value


def _is_picture(content: Any) -> bool:
    return isinstance(content, bytes) and len(content) <= LARGEST_MEMBER


def _emotions(values: list[Any], metadata: Mapping[bytes, bytes], column: str, place: str) -> list[str | None]:
    """The emotions that labels name; None where a row has none."""
    several = next((value for value in values if not isinstance(value, int | str | None)), None)
    if several is not None:
        raise DataError(f"{place}: label {str(several)[:60]} is no class number and no word")
    if any(isinstance(value, int) for value in values):
        names = _class_names(metadata, column)
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
    return [None if word is None else emotions[word] for word in values]


def _splits(words: list[Any], column: str, place: str) -> list[str] | None:
    """The split of each row, where the column holds words."""
    if not all(isinstance(word, str) for word in words):
        return None
    split_of = {word: split_word(word) for word in set(words)}
    if unknown := [word for word, split in split_of.items() if split is None]:
        raise DataError(f"{place}: {column} {unknown[0][:60]!r} is none of train, val, test")
    return [str(split_of[word]) for word in words]


def _class_names(metadata: Mapping[bytes, bytes], column: str) -> list[str] | None:
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


def _with_splits(samples: list[RawSample]) -> list[RawSample]:
    """Samples of parquet files with what `eval` means; those of files that name no split train if no file names one."""
    means = settled(sample.split for sample in samples if sample.split)
    unnamed = sorted({str(PurePosixPath(sample.name).parent) for sample in samples if not sample.split})
    if means and unnamed:
        log.warning("%s.parquet names no split, as other files do: it neither trains nor tests", ", ".join(unnamed))
    otherwise = "all" if means else "train"
    return [replace(sample, split=means[sample.split] if sample.split else otherwise) for sample in samples]
