"""Loss and scores of the epoch so far, kept on the device."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric


class Progress(Metric):
    """Mean loss, accuracy and macro F1 of the images seen since the last `finish`.

    An update queues a few small operations and waits for nothing. torchmetrics' own scores count with `bincount`, which
    on a GPU waits for all that was queued before (torchmetrics #1413), and its `MeanMetric` weighs a short last batch
    like a full one where NaN is let through (#3434).

    Args:
        classes: number of classes K.
    """

    full_state_update = False
    loss_sum: Tensor
    confusion: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("loss_sum", torch.zeros(()), dist_reduce_fx="sum")  # over images
        self.add_state("confusion", torch.zeros(classes * classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: its mean loss, logits, float [B, K], and labels, int64 [B]."""
        self.loss_sum += loss.detach() * len(labels)
        cells = labels * self.classes + logits.detach().argmax(dim=1)
        self.confusion.scatter_add_(0, cells, torch.ones_like(cells))

    def compute(self) -> dict[str, Tensor]:
        """`loss`, `accuracy`, and `macro_f1` over the classes that were seen or named."""
        matrix = self.confusion.view(self.classes, self.classes).float()  # truth by prediction
        images, right = matrix.sum(), matrix.diagonal()
        counted = matrix.sum(dim=0) + matrix.sum(dim=1)
        f1 = (2 * right / counted.clamp(min=1)).sum() / (counted > 0).sum()
        return {"loss": self.loss_sum / images, "accuracy": right.sum() / images, "macro_f1": f1}

    def finish(self) -> dict[str, Tensor]:
        """The results, of all ranks; the next epoch starts afresh."""
        results: dict[str, Tensor] = self.compute()
        self.reset()
        return results

    def counts(self, gather: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """What each of R ranks counted so far, for a run that goes on within an epoch: tensors [R, ...].

        Args:
            gather: a tensor of this rank -> those of all ranks, stacked.
        """
        return {state: gather(getattr(self, state)) for state in self._defaults}

    def restore(self, counts: dict[str, Tensor], rank: int) -> None:
        """Go on from the `counts` of an interrupted epoch."""
        for state in self._defaults.keys() & counts.keys():  # an older version counted otherwise
            setattr(self, state, counts[state][rank].clone().to(self.device))
            self._update_count = 1  # or computing would warn that nothing was counted
