"""What is known between two steps, kept on the device: scores of the epoch so far, gradients that wait, divergence."""

from collections.abc import Callable

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torchmetrics import Metric

from fer.errors import DivergenceError


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
        """What each of R ranks counted so far, for a run that resumes within an epoch: tensors [R, ...].

        Args:
            gather: a tensor of this rank -> those of all ranks, stacked.
        """
        return {state: gather(getattr(self, state)) for state in self._defaults}

    def restore(self, counts: dict[str, Tensor], rank: int) -> None:
        """Count on from the `counts` of an interrupted epoch."""
        for state in self._defaults.keys() & counts.keys():  # an older version had other counts
            setattr(self, state, counts[state][rank].clone().to(self.device))
            self._update_count = 1  # or computing would warn that nothing was counted


def is_accumulating(trainer: Trainer) -> bool:
    """Whether gradients of finished batches wait for the batches that complete their step."""
    ready = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return ready % trainer.accumulate_grad_batches != 0 and ready < trainer.num_training_batches


def gradients_of_ranks(network: nn.Module, gather: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Gradients by the names of their parameters, of all R ranks: tensors [R, ...].

    Args:
        network: what is trained.
        gather: a tensor of this rank -> those of all ranks, stacked.
    """
    return {name: gather(p.grad) for name, p in network.named_parameters() if p.grad is not None}


def restore_gradients(network: nn.Module, saved: dict[str, Tensor], rank: int) -> None:
    """Put back the gradients of a rank."""
    for name, parameter in network.named_parameters():
        if name in saved:
            parameter.grad = saved[name][rank].to(parameter).clone()


class DivergenceWatch:
    """Remembers the first step whose loss was not finite."""

    def __init__(self) -> None:
        self._first: Tensor | None = None

    def see(self, loss: Tensor, step: int) -> None:
        """Look at the loss of a step; costs no synchronisation."""
        if self._first is None or self._first.device != loss.device:
            self._first = torch.full((), -1, dtype=torch.int64, device=loss.device)
        bad = (self._first < 0) & ~torch.isfinite(loss.detach())
        self._first = torch.where(bad, step, self._first)

    @property
    def step(self) -> int | None:
        """The first step without a finite loss; None if there was none. Waits for the device."""
        if self._first is None or int(self._first) < 0:
            return None
        return int(self._first)


def divergence(
    step: int, epoch: int, rate: float, precision: str, network: nn.Module, images: Tensor | None = None
) -> DivergenceError:
    """The error to raise for a loss that is not finite, with its likely cause.

    Args:
        step: of the run, from 0.
        epoch: from 0.
        rate: highest learning rate at that step.
        precision: Lightning's name of it.
        network: as it is now.
        images: the batch, if it is still available.
    """
    if images is not None and not torch.isfinite(images).all():
        cause = "the images hold values that are not finite: look at the data"
    else:
        finite = all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters())
        cause = "the loss overflowed" if finite else "the weights overflowed"
        cause += f" at learning rate {rate:.2g}, which is most likely too high: lower optimizer.lr (lr_find=true finds "
        cause += "one), or set trainer.gradient_clip_val=1"
        if precision == "16-mixed":
            cause += ", or trainer.precision=32-true, for fp16 has a small range"
    return DivergenceError(f"epoch {epoch}, step {step}: the loss is not finite; {cause}")
