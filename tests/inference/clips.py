"""Videos that tests make, and what is read of their answers."""

import csv
from pathlib import Path

import cv2
import numpy as np


def write_clip(path: Path, pictures: list[np.ndarray], rate: float) -> Path:
    height, width = pictures[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
    for picture in pictures:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "timeline.csv").open() as file:
        return list(csv.DictReader(file))
