"""Hugging Face data sets as parquet: encoded pictures in one column, class numbers in another.

Uploaders number classes as they like, so the names come from the schema that the `datasets` library stores in the file.
"""

import json
from pathlib import PurePosixPath
from typing import Any

from fer.data.samples import Listing, RawSample, split_of_word
from fer.data.sources import DAMAGE, LARGEST_MEMBER, Source
from fer.emotions import emotion_name
from fer.errors import DataError

LABEL_COLUMNS = ("label", "labels", "emotion", "expression", "class")


def parquet_files(source: Source) -> list[str]:
    """The parquet files of a source."""
    return [name for name in source.names if name.lower().endswith(".parquet")]


def list_parquet(source: Source, names: list[str], where: str) -> Listing:
    """The pictures of all parquet files; a file's name (`train-00000-of-00001.parquet`) gives its split.

    Raises:
        DataError: pyarrow is not installed, no column of pictures or labels, labels without names, or a class that
            is no emotion.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(f'{where} is parquet: pip install "fer-experiments[parquet]"') from None
    samples: list[RawSample] = []
    contents: list[bytes] = []
    rejected = [(name, "not parquet") for name in source.names if name not in names]
    for name in names:
        place = f"{where}: {name}"
        with source.open(name) as file:
            try:
                table = pyarrow.parquet.read_table(file)
            except (pyarrow.ArrowException, OSError, *DAMAGE) as error:
                raise DataError(f"{place} is damaged or no parquet ({' '.join(str(error).split())[:200]})") from error
        pictures, labels = _columns(table, place)
        split = _split(name)
        for row, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
            title = f"{PurePosixPath(name).with_suffix('')}/{row:06d}"  # a folder per split may hold files of one name
            content = picture.get("bytes") if isinstance(picture, dict) else picture
            if label is None or not isinstance(content, bytes) or len(content) > LARGEST_MEMBER:
                rejected.append((title, "no label" if label is None else "no picture in its row"))
                continue
            samples.append(RawSample(title, label, split, ""))
            contents.append(content)
    if not samples:
        raise DataError(f"{where}: {names[0]} holds no labelled picture")
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


def _split(name: str) -> str:
    path = PurePosixPath(name)
    words = [*path.parts[:-1], path.stem.split("-")[0].split(".")[0]]
    return next(filter(None, (split_of_word(word) for word in reversed(words))), "train")
