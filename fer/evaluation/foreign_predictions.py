"""What any other tool predicts for a data set, from its CSV: evaluated as our own models are, image by image."""

import csv
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path

import numpy as np

from fer.data.datamodule import FERDataModule
from fer.data.file_kinds import SNIFFED, STREAMS, not_data
from fer.data.table_text import table_format
from fer.emotions import emotion_name
from fer.errors import DataError
from fer.evaluation.evaluate import READ_AS_TEST, split_metrics, with_facts
from fer.evaluation.evaluated_data import training_images
from fer.evaluation.evaluation import Evaluation
from fer.evaluation.identity import data_facts
from fer.evaluation.leakage import LeakageChecker
from fer.evaluation.predict_split import ModelOutputs
from fer.evaluation.test_readings import note_test_reading

log = logging.getLogger(__name__)

LEAST = 1e-6  # probability of what a tool calls impossible: its files hold six digits
SUM_TOLERANCE = 0.01
MOST_OTHER_LABELS = 0.05  # share of labels that may differ (cleaned ones); with more, the rows are others
HEADER_LINES = 1  # of fer2013.csv: image names of ours count its lines from 1, other tools its rows from 0


@dataclass(frozen=True)
class _Answers:
    classes: list[str]
    names: list[str]  # as the file has them
    labels: list[str] | None
    probabilities: np.ndarray  # float64 [N, K]


def evaluate_predictions(file: Path, datamodule: FERDataModule, split: str) -> Evaluation:
    """Evaluate a CSV with a row per image: `name`, optionally `label`, and the probability of each emotion.

    Args:
        file: the table, whatever its separator, encoding and compression. Names are those of the data set's images, or
            for `fer2013.csv` the number of the row, from 0.
        datamodule: set up.
        split: one of its splits. Images that the file lacks are left out, and counted in a warning.

    Raises:
        DataError: a file of another form, names or labels that are not those of the data.
    """
    pack = datamodule.pack
    assert pack is not None, "setup comes first"
    answers = _read(file)
    rows = datamodule.splits[split]
    place = _places(answers.names, pack.names[rows], f"{file}")
    emotions = [datamodule.classes[label] for label in datamodule.labels[rows].tolist()]
    _check_labels(answers, place, emotions, file)
    found = np.flatnonzero(place >= 0)
    if len(found) < len(rows):
        known = sum(emotion in answers.classes for emotion in emotions)
        log.warning(
            "%s answers %d of the %d %s images of %s (%d are of an emotion that it knows): the others are left out",
            file.name,
            len(found),
            len(rows),
            split,
            datamodule.name,
            known,
        )
    probabilities = np.clip(answers.probabilities[place[found]], LEAST, None)
    number = {emotion: k for k, emotion in enumerate(answers.classes)}
    labels = np.array([number.get(emotions[row], -1) for row in found], dtype=np.int64)
    outputs = ModelOutputs(np.log(probabilities), labels, rows[found])
    known_before = [training_images(datamodule)] if "train" in datamodule.splits and split != "train" else []
    leakage = LeakageChecker(pack, known_before)
    predictions = with_facts(outputs, answers.classes, datamodule, split, 1.0, leakage)
    facts = {"data": predictions.data, "split": split, "classes": answers.classes, "predictions": file.name}
    facts |= data_facts(pack)
    metrics = split_metrics(predictions, datamodule) | facts
    if split in READ_AS_TEST:
        settings = {"predictions": hashlib.sha256(file.read_bytes()).hexdigest()}
        readings = note_test_reading(datamodule.folder, file, settings, split, metrics[f"{split}/accuracy"])
        metrics |= {} if readings is None else readings.metrics(split)
    return Evaluation(predictions, metrics)


def _read(file: Path) -> _Answers:
    """The file's columns.

    Raises:
        DataError: it cannot be read, or is of another form.
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(SNIFFED)
        unpack = next((stream for mark, stream in STREAMS.items() if head.startswith(mark)), open)
        if unpack is open and (what := not_data(head)):
            raise DataError(f"{file} is {what}")
        with unpack(file, "rb") as opened:
            table = table_format(opened)
        with unpack(file, "rb") as opened:
            lines = [fields for _, fields in table.rows(opened)]
    except (OSError, EOFError, UnicodeError, csv.Error, LZMAError) as error:
        raise DataError(f"{file} cannot be read as a CSV of predictions ({error})") from error
    columns = table.columns
    emotions = {index: emotion_name(column) for index, column in enumerate(columns)}
    by_class = {emotion: index for index, emotion in emotions.items() if emotion is not None}
    if "name" not in columns or len(by_class) < 2:
        raise DataError(
            f"{file} has the columns {table.header[:80]}; needed are name, then one of each emotion with its "
            "probability (a tool that only names an emotion: 1 for that, 0 for the others); label is optional"
        )
    if not lines or any(len(line) != len(columns) for line in lines):
        raise DataError(f"{file} has {'rows of other lengths than its header' if lines else 'no rows'}")
    try:
        probabilities = np.array([[float(line[index]) for index in by_class.values()] for line in lines])
    except ValueError as error:
        raise DataError(f"{file}: {error}; a probability is a number from 0 to 1") from error
    sums = probabilities.sum(axis=1)
    wrong = ~np.isfinite(sums) | (np.abs(sums - 1) > SUM_TOLERANCE) | (probabilities.min(axis=1) < 0)
    if wrong.any():
        raise DataError(f"{file}: the probabilities of row {int(wrong.argmax()) + 2} are no shares that add up to 1")
    names = [line[columns.index("name")] for line in lines]
    if len(set(names)) < len(names):
        raise DataError(f"{file} names an image twice")
    labels = [line[columns.index("label")] for line in lines] if "label" in columns else None
    return _Answers(list(by_class), names, labels, probabilities)


def _places(given: Sequence[str], names: np.ndarray, file: str) -> np.ndarray:
    """The row of the file for each image of the split, int [N]; -1 where it has none.

    Raises:
        DataError: no name is that of an image.
    """
    row_of = {name: row for row, name in enumerate(given)}
    if all(name.isdecimal() for name in given):
        numbers = [re.search(r"/(\d{6})$", name) for name in names.tolist()]
        wanted = [str(int(found[1]) - 1 - HEADER_LINES) if found else "" for found in numbers]
        row_of = {str(int(name)): row for name, row in row_of.items()}
    else:
        wanted = names.tolist()
    place = np.array([row_of.get(name, -1) for name in wanted], dtype=np.int64)
    if (place < 0).all():
        raise DataError(f"{file} names no image of this split: it has {given[0]}, the data {names[0]}")
    return place


def _check_labels(answers: _Answers, place: np.ndarray, emotions: Sequence[str], file: Path) -> None:
    if answers.labels is None:
        return
    pairs = [(answers.labels[at], emotion) for at, emotion in zip(place, emotions, strict=True) if at >= 0]
    others = sum(emotion_name(given) != ours for given, ours in pairs)
    if others > MOST_OTHER_LABELS * len(pairs):
        raise DataError(f"{others} of {len(pairs)} labels in {file} are not those of the data: its rows are others")
    if others:
        log.warning("%d labels in %s differ from those of the data, which count", others, file)
