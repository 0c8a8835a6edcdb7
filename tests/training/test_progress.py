"""Loss and scores of an epoch, against those of torchmetrics."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from fer.training.progress import Progress

CLASSES = 5


def batches(sizes: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (3 * torch.randn(size, CLASSES, generator=generator), torch.randint(CLASSES - 1, (size,), generator=generator))
        for size in sizes
    ]


@pytest.mark.parametrize("sizes", [[16, 16], [64, 3], [1]])
def test_a_short_last_batch_counts_by_its_images(sizes: list[int]) -> None:
    progress, seen = Progress(CLASSES), batches(sizes)
    for logits, labels in seen:
        progress.update(F.cross_entropy(logits, labels), logits, labels)
    results = progress.finish()
    logits, labels = (torch.cat(parts) for parts in zip(*seen, strict=True))
    assert_close(results["loss"], F.cross_entropy(logits, labels))
    assert_close(results["accuracy"], multiclass_accuracy(logits, labels, CLASSES, average="micro"))
    assert_close(results["macro_f1"], multiclass_f1_score(logits, labels, CLASSES, average="macro"))


def test_an_epoch_does_not_know_the_one_before() -> None:
    progress = Progress(CLASSES)
    (first, labels), (second, others) = batches([8, 8])
    progress.update(F.cross_entropy(first, labels), first, labels)
    progress.finish()
    progress.update(F.cross_entropy(second, others), second, others)
    assert_close(progress.finish()["loss"], F.cross_entropy(second, others))


def test_a_run_that_goes_on_within_an_epoch_counts_on() -> None:
    progress, resumed, seen = Progress(CLASSES), Progress(CLASSES), batches([8, 8, 3])
    for number, (logits, labels) in enumerate(seen):
        if number == 2:
            counts = progress.counts(lambda value: torch.stack([torch.zeros_like(value), value]))
            resumed.restore(counts, rank=1)
            resumed.update(F.cross_entropy(logits, labels), logits, labels)
        progress.update(F.cross_entropy(logits, labels), logits, labels)
    assert progress.finish() == resumed.finish()


def test_a_loss_that_is_no_number_is_not_hidden() -> None:
    progress = Progress(CLASSES)
    for (logits, labels), loss in zip(batches([4, 4]), (torch.tensor(torch.nan), torch.tensor(1.0)), strict=True):
        progress.update(loss, logits, labels)
    assert torch.isnan(progress.finish()["loss"])


def test_an_update_reads_nothing_back_from_the_device() -> None:
    """Tensors without content stand for those of a GPU: whatever needed a value of them would raise."""
    progress = Progress(CLASSES).to("meta")
    logits, labels = torch.empty(8, CLASSES, device="meta"), torch.empty(8, dtype=torch.int64, device="meta")
    progress.update(torch.empty((), device="meta"), logits, labels)
    assert progress.confusion.is_meta
