"""Faces with which an exported model is checked, timed and quantised: the run's own, or drawn ones."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fer.data.augment import resample
from fer.data.datamodule import FERDataModule
from fer.data.datasets.drawn import draw_faces
from fer.errors import DataError
from fer.evaluation.trained_model import TrainedModel

N_DRAWN = 256  # faces, if the data of the run are not available
BATCH_SIZE = 64


@dataclass(frozen=True)
class FaceImages:
    """Faces as they are stored, with their classes."""

    images: np.ndarray  # uint8 [N, H, W] or [N, H, W, 3]
    labels: np.ndarray | None  # int64 [N]; None where they are not of the model's classes
    what: str  # in words

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int, channels: int, batch_size: int = BATCH_SIZE) -> Iterator[np.ndarray]:
        """float32 [B, C, S, S] in [0, 1], resampled as in training."""
        for start in range(0, len(self), batch_size):
            pixels = torch.from_numpy(np.array(self.images[start : start + batch_size]))
            pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
            yield resample(pixels.expand(-1, channels, -1, -1), size).contiguous().numpy()


def open_data(model: TrainedModel, root: str | None = None) -> FERDataModule:
    """The data that a model was trained on, set up; nothing is packed.

    Args:
        model: with its run folder.
        root: where packs live now; None is where the run had them.

    Raises:
        DataError: the run's data are unknown, its pack is not there, or holds other classes.
    """
    if model.data is None:
        raise DataError("the data of this checkpoint are unknown: give the run folder it came from")
    try:
        datamodule = FERDataModule(**{**model.data, "source": None, **({} if root is None else {"root": root})})
    except TypeError as error:
        raise DataError(f"the config of the run was written by another version ({error})") from error
    datamodule.setup()
    channels = len(model.classifier.mean)
    if datamodule.classes != model.classifier.classes or datamodule.channels not in (1, channels):
        raise DataError(f"{datamodule.root}/{datamodule.pack_name} is not what the model was trained on")
    return datamodule


def faces_of(datamodule: FERDataModule, split: str, most: int) -> FaceImages:
    """Up to `most` faces of a split, spread evenly over it.

    Args:
        datamodule: set up.
    """
    assert datamodule.pack is not None, "setup comes first"
    rows = datamodule.splits[split]
    rows = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]
    return FaceImages(datamodule.pack.images[rows], datamodule.labels[rows], f"{split} images of {datamodule.name}")


def drawn_faces() -> FaceImages:
    """Drawn faces, for a model whose own data are not available."""
    drawn = draw_faces("demo", faces=(7, 7, N_DRAWN))
    return FaceImages(drawn.images[-N_DRAWN:], None, "drawn faces")
