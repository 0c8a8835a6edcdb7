"""Rows of `predictions.csv`."""

from collections.abc import Sequence
from typing import Any

from fer.files import printable
from fer.inference.predictor import Prediction

HEADER = ("picture", "face", "x", "y", "width", "height", "emotion", "probability")  # then a column for each class
NO_FACE = "no face"


def picture_rows(path: str, predictions: Sequence[Prediction], classes: Sequence[str]) -> list[list[Any]]:
    """A row for each face of a picture, or one that says there is none."""
    name = printable(path)
    if not predictions:
        return [[name, "", *no_box(), NO_FACE, "", *("" for _ in classes)]]
    return [
        [
            name,
            index,
            *box_columns(prediction),
            prediction.emotion,
            digits(prediction.probability),
            *(digits(prediction.probabilities[one]) for one in classes),
        ]
        for index, prediction in enumerate(predictions, 1)
    ]


def box_columns(prediction: Prediction) -> list[Any]:
    """x, y, width, height in pixels; empty where the whole picture is the face."""
    if prediction.box is None:
        return no_box()
    side = round(prediction.box.side)
    return [round(prediction.box.left), round(prediction.box.top), side, side]


def no_box() -> list[Any]:
    return ["", "", "", ""]


def digits(value: float) -> str:
    return f"{value:.6g}"
