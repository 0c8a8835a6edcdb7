"""What every evaluation returns: the test after training, `evaluate.py` and pooled folds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fer.evaluation.split_predictions import SplitPredictions

# Overrides with which evaluate.py computes something else than the run's own test, besides data, split, fold, tta, size
KEYS_THAT_CHANGE_RESULTS = (
    "precision",
    "data.classes",
    "data.votes",
    "data.faces",
    "data.align",
    "data.drop_leaks",
    "data.folds",
    "data.subject",
)


@dataclass(frozen=True)
class Evaluation:
    """The predictions of one split with the metrics computed from them.

    `fer.reporting.write.write_evaluation` writes it and prints its summary.
    """

    predictions: SplitPredictions  # of the reported split
    metrics: dict[str, Any]  # flat, as in metrics.json; may have other splits and facts too
    temperature: float | None = None  # None where each fold has its own
    temperature_fitted_on: str | None = None  # None where no temperature was fitted
    set_threshold: float | None = None  # of prediction sets; None where none was fitted

    @property
    def folds(self) -> list[dict[str, Any]]:
        """A row for each pooled fold; empty for a single model."""
        return self.metrics.get("folds", [])

    def with_metrics(self, more: Mapping[str, Any]) -> "Evaluation":
        """The same with more entries for `metrics.json`."""
        return replace(self, metrics={**self.metrics, **more})
