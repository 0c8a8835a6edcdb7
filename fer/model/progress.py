"""Loss and scores of the epoch so far, kept on the device."""

from collections.abc import Callable

from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score


class Progress(nn.Module):
    """Mean loss, accuracy and macro F1 of the images seen since the last `compute`.

    Args:
        classes: number of classes K.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.loss = MeanMetric(nan_strategy="disable")
        self.scores = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(classes, average="micro", validate_args=False),
                "macro_f1": MulticlassF1Score(classes, average="macro", validate_args=False),
            }
        )

    def forward(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: its mean loss, logits, float [B, K], and labels, int64 [B]."""
        self.loss.update(loss, len(labels))
        self.scores.update(logits, labels)

    def compute(self) -> dict[str, Tensor]:
        """The results; the next epoch starts afresh."""
        results = {"loss": self.loss.compute(), **self.scores.compute()}
        self.reset()
        return results

    def reset(self) -> None:
        self.loss.reset()
        self.scores.reset()

    def counts(self, gather: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """What each of R ranks counted so far, for a run that goes on within an epoch: tensors [R, ...].

        Args:
            gather: a tensor of this rank -> those of all ranks, stacked.
        """
        return {f"{name}.{state}": gather(getattr(metric, state)) for name, metric, state in self._states()}

    def restore(self, counts: dict[str, Tensor], rank: int) -> None:
        """Go on from the `counts` of an interrupted epoch."""
        for name, metric, state in self._states():
            setattr(metric, state, counts[f"{name}.{state}"][rank].clone().to(metric.device))
            metric._update_count = 1  # or computing would warn that nothing was counted

    def _states(self) -> list[tuple[str, Metric, str]]:
        metrics = {"loss": self.loss, **dict(self.scores.items(keep_base=True, copy_state=False))}
        return [(name, metric, state) for name, metric in metrics.items() for state in metric.metric_state]
