"""Gradients that are gathered over several batches, for a run that stops between two of them."""

from collections.abc import Callable

from pytorch_lightning import Trainer
from torch import Tensor, nn


def is_gathering(trainer: Trainer) -> bool:
    """Whether gradients of finished batches wait for the batches that complete their step."""
    ready = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return ready % trainer.accumulate_grad_batches != 0 and ready < trainer.num_training_batches


def gathered_gradients(network: nn.Module, gather: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
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
