"""Attributes of people, such as gender or age range: `groups.csv` beside any data, by which results are told apart.

Its first column is `name` (an image, as `predictions.csv` calls it) or `subject` (a person), each other column an
attribute. An empty cell is unknown.
"""

import csv
import io
import logging
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from fer.data.file_kinds import SNIFFED, not_data
from fer.data.folder_source import Source
from fer.data.table_text import table_format
from fer.errors import DataError

log = logging.getLogger(__name__)

GROUPS = "groups.csv"
KEYS = ("name", "subject")  # what a row is of
MOST_VALUES = 20  # of an attribute whose values are groups; more are numbers or names
Groups = dict[str, np.ndarray]  # of each attribute, str [N], empty where unknown


def read_groups(content: bytes, names: np.ndarray, subjects: np.ndarray, where: str) -> Groups:
    """The attributes of each image.

    Args:
        content: of `groups.csv`, in any encoding and with any separator that tables have.
        names: of the images, str [N].
        subjects: who is on each, str [N]; empty where unknown.
        where: what errors call the file.

    Raises:
        DataError: no such table, a row of another length, something named twice, or none of the images in it.
    """
    if what := not_data(content[:SNIFFED]):
        raise DataError(f"{where} is {what}")
    table = table_format(io.BytesIO(content))
    if not table.columns or table.columns[0] not in KEYS or len(table.columns) < 2:
        raise DataError(
            f"{where} begins with {table.header[:60]!r}: its header is to be `name` (of an image) or `subject` (a "
            "person), then the attributes, as name,gender,age"
        )
    keys = {"name": names, "subject": subjects}[table.columns[0]]
    values: dict[str, list[str]] = {}
    try:
        for line, fields in table.rows(io.BytesIO(content)):
            if len(fields) != len(table.columns):
                raise DataError(f"{where}, line {line} has {len(fields)} fields, its header {len(table.columns)}")
            key, *row = (field.strip() for field in fields)
            if values.setdefault(key, row) != row:
                raise DataError(f"{where}, line {line}: {key} is there twice, with other attributes")
    except (csv.Error, UnicodeError) as error:
        raise DataError(f"{where} is damaged or no table ({error})") from error
    unknown = [""] * (len(table.columns) - 1)
    known = np.isin(keys, [key for key in values if key])
    if not known.any():
        shown = [next(iter(group), "none") for group in (values, keys.tolist())]
        raise DataError(
            f"{where}: no {table.columns[0]} in it is one of these data (it has {shown[0]!r}, they {shown[1]!r}); "
            "correct it, or move it away"
        )
    if not known.all():
        log.warning("%s says nothing of %d of %d images", where, (~known).sum(), len(known))
    columns = np.array([values.get(key, unknown) if key else unknown for key in keys.tolist()]).T
    return _groups_of(dict(zip(table.columns[1:], columns, strict=True)), where)


def _groups_of(columns: Groups, where: str) -> Groups:
    """The attributes whose values are groups."""
    kept = {}
    for attribute, column in columns.items():
        several = len(set(column.tolist()) - {""})
        if several > MOST_VALUES:
            log.warning(
                "%s: %s has %d different values, which are no groups, and is left out; put them into ranges",
                where,
                attribute,
                several,
            )
        elif several:
            kept[attribute] = column
    return kept


def groups_table(rows: dict[str, dict[str, str]]) -> bytes:
    """`groups.csv` of attributes by the name of the image; those that an image lacks are empty."""
    attributes = list(dict.fromkeys(attribute for row in rows.values() for attribute in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([KEYS[0], *attributes])
    writer.writerows([name, *(row.get(attribute, "") for attribute in attributes)] for name, row in rows.items())
    return text.getvalue().encode("utf-8")


def take_groups(source: Source, path: str) -> tuple[bytes | None, str]:
    """`groups.csv` of a download, which is then no longer one of its files, and where it was: within, or beside it.

    Args:
        source: opened.
        path: of it, as given.

    Raises:
        DataError: several of them.
    """
    inside = [name for name in source.names if PurePosixPath(name).name.lower() == GROUPS]
    if len(inside) > 1:
        raise DataError(f"{source.where} holds several {GROUPS} ({', '.join(inside[:3])}): leave one")
    if inside:
        source.names.remove(inside[0])
        return source.read(inside[0]), f"{source.where}: {inside[0]}"
    beside = Path(path).parent / GROUPS
    return (beside.read_bytes(), str(beside)) if Path(path).is_file() and beside.is_file() else (None, "")


def counted(groups: Groups) -> Iterable[str]:
    """`gender: female 12, male 9, unknown 2`, of each attribute."""
    for attribute, column in groups.items():
        values, counts = np.unique(column, return_counts=True)
        yield f"{attribute}: " + ", ".join(
            f"{value or 'unknown'} {count:,}" for value, count in zip(values.tolist(), counts.tolist(), strict=True)
        )
