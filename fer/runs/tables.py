"""The CSV files of a run folder: predictions, subjects, history, folds. One writer and one reader of each."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fer.files import replacing

PREDICTION_COLUMNS = ["name", "label", "predicted", "loss"]  # then one of each class
CKPLUS_NAME = re.compile(r"(?:^|[/\\])(S\d{3})_\d{3}_\d{8}\.")  # the names of CK+ say who is on each image


@dataclass(frozen=True)
class Predictions:
    """What a model predicts for a split; row i of every array belongs to image i."""

    classes: list[str]  # names of the K outputs
    names: np.ndarray  # str [N], each once: the path within the data set
    labels: np.ndarray  # str [N]
    predicted: np.ndarray  # str [N]
    losses: np.ndarray  # float64 [N], cross-entropy as trained, nats
    probabilities: np.ndarray  # float64 [N, K], as trained
    subjects: np.ndarray | None = None  # str [N]; None where somebody is unknown
    photographs: np.ndarray | None = None  # [N], the same for images of one photograph; None where none is there twice
    groups: dict[str, np.ndarray] = field(default_factory=dict)  # of attributes of people, str [N]; empty: unknown

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row by the name of the image."""
        return {name: row for row, name in enumerate(self.names.tolist())}

    def indices(self, emotions: np.ndarray) -> np.ndarray:
        """Positions of emotions among the classes, int64 [N].

        Raises:
            ValueError: an emotion that is no class.
        """
        named, positions = np.unique(emotions, return_inverse=True)
        return np.array([self.classes.index(emotion) for emotion in named.tolist()], dtype=np.int64)[positions]


def write_predictions(file: Path, predictions: Predictions) -> None:
    """A row per image: name, label, predicted, loss, and the probability of each class, with six digits."""
    p = predictions
    rows = zip(p.names, p.labels, p.predicted, p.losses, p.probabilities, strict=True)
    _write(
        file,
        [*PREDICTION_COLUMNS, *p.classes],
        (
            [name, label, predicted, f"{loss:.6g}", *(f"{share:.6g}" for share in shares)]
            for name, label, predicted, loss, shares in rows
        ),
    )


def read_predictions(
    file: Path,
    subjects: Mapping[str, str] | None,
    photographs: Mapping[str, str] | None = None,
    groups: Mapping[str, Mapping[str, str]] | None = None,
) -> Predictions:
    """Read `predictions.csv`.

    Args:
        file: to read.
        subjects: by the name of the image; where None, those of CK+ are in the names.
        photographs: which one an image shows, by the name of the image.
        groups: of each attribute, by the name of the image.

    Raises:
        ValueError: not of the form that runs write.
    """
    header, rows = _read(file)
    classes = header[len(PREDICTION_COLUMNS) :]
    if header[: len(PREDICTION_COLUMNS)] != PREDICTION_COLUMNS or not classes:
        raise ValueError(f"its columns are {','.join(header)[:80]}")
    if not rows:
        raise ValueError("it has no rows")
    names, labels, predicted, losses, *shares = zip(*rows, strict=True)
    if len(set(names)) < len(names):
        raise ValueError("an image is in it twice")
    if subjects is None:
        subjects = {name: found[1] for name in names if (found := CKPLUS_NAME.search(name))}
    return Predictions(
        classes,
        np.array(names),
        np.array(labels),
        np.array(predicted),
        np.array(losses, dtype=np.float64),
        np.array(shares, dtype=np.float64).T,
        _known(subjects, names),
        _known(photographs or {}, names),
        {attribute: np.array([of.get(name, "") for name in names]) for attribute, of in (groups or {}).items()},
    )


def _known(of_images: Mapping[str, str], names: Sequence[str]) -> np.ndarray | None:
    """What is said of each image, str [N]; None where something is missing."""
    return np.array([of_images[name] for name in names]) if all(of_images.get(name) for name in names) else None


def write_columns(file: Path, names: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    """What is known of each image, such as who is on it, in the order of `predictions.csv`."""
    _write(file, ["name", *columns], zip(names, *columns.values(), strict=True))


def read_columns(file: Path) -> dict[str, dict[str, str]]:
    """What `write_columns` wrote, by column, then by the name of the image.

    Raises:
        ValueError: other columns.
    """
    header, rows = _read(file)
    if header[:1] != ["name"] or len(header) < 2:
        raise ValueError(f"its columns are {','.join(header)[:80]}")
    return {column: {row[0]: row[place] for row in rows} for place, column in enumerate(header) if place}


def read_column(file: Path, column: str) -> dict[str, str]:
    """The only column of a file, by the name of the image.

    Raises:
        ValueError: other columns.
    """
    columns = read_columns(file)
    if list(columns) != [column]:
        raise ValueError(f"its columns are name,{','.join(columns)[:80]}")
    return columns[column]


def write_rows(file: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A table of named columns; a cell is empty where a row has no such value."""
    _write(file, columns, ([row.get(column, "") for column in columns] for row in rows))


def read_rows(file: Path) -> list[dict[str, str]]:
    """Rows by the names of the columns.

    Raises:
        ValueError: a row of another length.
    """
    header, rows = _read(file)
    return [dict(zip(header, row, strict=True)) for row in rows]


class History:
    """Numbers by epoch, kept on disk, so that a resumed run keeps those of the part before.

    Args:
        file: `history.csv` of the run folder.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.epochs = read_history(file) if file.exists() else {}

    def add(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Note numbers of an epoch, beside those noted before; later epochs are forgotten."""
        self.epochs = {earlier: known for earlier, known in self.epochs.items() if earlier <= epoch}
        self.epochs.setdefault(epoch, {}).update(numbers)
        names = list(dict.fromkeys(name for known in self.epochs.values() for name in known))
        write_rows(self.file, ["epoch", *names], ({"epoch": n, **known} for n, known in sorted(self.epochs.items())))


def read_history(file: Path) -> dict[int, dict[str, float]]:
    """Numbers by epoch and name.

    Raises:
        ValueError: not of the form that runs write.
    """
    return {
        int(row.pop("epoch")): {name: float(value) for name, value in row.items() if value} for row in read_rows(file)
    }


def _write(file: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(file) as open_file:
        writer = csv.writer(open_file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _read(file: Path) -> tuple[list[str], list[list[str]]]:
    """Names of the columns, and the rows.

    Raises:
        ValueError: no CSV, or a row of another length.
    """
    try:
        with file.open(encoding="utf-8", newline="") as open_file:
            header, *rows = list(csv.reader(open_file)) or [[]]
    except csv.Error as error:
        raise ValueError(error) from error
    if any(len(row) != len(header) for row in rows):
        raise ValueError("a row has more or fewer columns than the others")
    return header, rows
