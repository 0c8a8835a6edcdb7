"""The predictions for one split: metrics, tables, figures and reports are computed from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F

from fer.evaluation.conformal import prediction_sets
from fer.runs.tables import Predictions


@dataclass(frozen=True)
class SplitPredictions:
    """Row i of every array belongs to image i of the split.

    For an ensemble or several views, the logits are logarithms of mean probabilities.
    """

    classes: list[str]  # names of the K outputs
    logits: np.ndarray  # float32 [N, K]
    labels: np.ndarray  # int64 [N]
    names: np.ndarray  # str [N], the path within the data set
    subjects: np.ndarray | None  # str [N]; None where somebody is unknown
    images: Callable[[np.ndarray], np.ndarray] | None  # positions, int [n] -> uint8 [n, H, W(, 3)]; None: not at hand
    temperature: float | np.ndarray = 1.0  # divisor of the logits, fitted on validation; pooled folds: of each image
    set_threshold: float | np.ndarray | None = None  # of prediction sets; pooled folds: of each image; None: not fitted
    temperature_in_sample: bool = False  # whether it was fitted on these very images
    votes: np.ndarray | None = None  # float64 [N, K], shares of people's votes, NaN where there are none; None: unknown
    exact_duplicates: np.ndarray | None = None  # bool [N], of an image known from training; None where unknown
    near_duplicates: np.ndarray | None = None  # bool [N], of the same photograph, exact ones included; None likewise
    photographs: np.ndarray | None = None  # [N], the same number for images of one photograph; None where unknown
    groups: dict[str, np.ndarray] = field(default_factory=dict)  # of attributes of people, str [N]; empty: unknown
    images_of_unknown_classes: int = 0  # images that were left out
    images_trained_on: int | None = None  # images that were themselves trained or selected on; None where unknown
    folds: np.ndarray | None = None  # int [N], by whose model each image was predicted; None but for pooled folds
    split: str = "test"
    data: str = ""  # what was evaluated

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of_table(cls, table: Predictions, rows: Sequence[int] | None = None) -> "SplitPredictions":
        """What `predictions.csv` holds, with logarithms of its probabilities as logits.

        Args:
            table: as read.
            rows: the images wanted, in this order; None for all.

        Raises:
            ValueError: a label or prediction that is no class.
        """
        chosen = np.arange(len(table.names)) if rows is None else np.asarray(rows)
        return cls(
            classes=table.classes,
            logits=_logits(table.probabilities[chosen], table.indices(table.predicted[chosen])),
            labels=table.indices(table.labels[chosen]),
            names=table.names[chosen],
            subjects=None if table.subjects is None else table.subjects[chosen],
            images=None,
            photographs=None if table.photographs is None else table.photographs[chosen],
            groups={attribute: values[chosen] for attribute, values in table.groups.items()},
        )

    @property
    def units(self) -> np.ndarray | None:
        """What was sampled: people where they are known, else photographs, [N]; None where each image stands alone."""
        if self.subjects is not None or self.photographs is None:
            return self.subjects
        several = len(np.unique(self.photographs)) < len(self) > 0
        return self.photographs if several and len(np.unique(self.photographs)) > 1 else None

    @cached_property
    def probabilities(self) -> np.ndarray:
        """As trained, float64 [N, K]."""
        return softmax(self.logits)

    @cached_property
    def calibrated(self) -> np.ndarray:
        """Probabilities after temperature scaling, float64 [N, K]."""
        return softmax(self.logits, self.temperature)

    @cached_property
    def calibrated_logits(self) -> np.ndarray:
        """Logits divided by the temperature, float64 [N, K]."""
        return self.logits / np.asarray(self.temperature, dtype=np.float64).reshape(-1, 1)

    @cached_property
    def sets(self) -> np.ndarray | None:
        """Which classes are in the prediction set of each image, bool [N, K]; None where no threshold was fitted."""
        return None if self.set_threshold is None else prediction_sets(self.calibrated, self.set_threshold)

    @cached_property
    def losses(self) -> np.ndarray:
        """Cross-entropy as trained, nats, float64 [N]."""
        scores = torch.from_numpy(self.logits).double()
        return F.cross_entropy(scores, torch.from_numpy(self.labels), reduction="none").numpy()

    @cached_property
    def predicted(self) -> np.ndarray:
        """The most probable class, int64 [N]."""
        return self.logits.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Whether the prediction is right, bool [N]."""
        return self.predicted == self.labels

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts, truth by prediction, int64 [K, K]."""
        matrix = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        np.add.at(matrix, (self.labels, self.predicted), 1)
        return matrix

    def table(self) -> Predictions:
        """The rows of `predictions.csv`, and what is known of their images."""
        names, shares = np.array(self.classes), self.probabilities
        labels, predicted = names[self.labels], names[self.predicted]
        photographs = self.units if self.subjects is None else None
        return Predictions(
            self.classes, self.names, labels, predicted, self.losses, shares, self.subjects, photographs, self.groups
        )


def _logits(probabilities: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities written with six digits, float32 [n, K]; the prediction stays the largest."""
    logits = np.log(np.maximum(probabilities, 1e-300)).astype(np.float32)
    rows = np.arange(len(logits))
    tied = logits.argmax(axis=1) != predicted
    logits[rows[tied], predicted[tied]] = np.nextafter(logits[tied].max(axis=1), np.float32(np.inf))
    return logits


def softmax(logits: np.ndarray, temperature: float | np.ndarray = 1.0) -> np.ndarray:
    """Probabilities, float64 [N, K].

    Args:
        logits: float [N, K].
        temperature: their divisor, of all or of each image, float [N].
    """
    divisor = np.asarray(temperature, dtype=np.float64).reshape(-1, 1)
    return torch.from_numpy(logits / divisor).softmax(dim=1).numpy()
