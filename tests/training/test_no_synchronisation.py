"""A training step queues its work and waits for nothing: on a GPU, reading one value back would stop the host.

Tensors without content (`meta`) stand for those of a GPU: whatever needs a value of them raises.
"""

import copy

import pytest
import torch
from torch import Tensor

from fer.data.augment import Augment, Mix
from fer.data.loader import Batch, DeviceLoader
from fer.models.losses import ClassificationLoss
from fer.models.network import timm_network
from fer.training.module import ExpressionModule

CLASSES = 7
COUNTS = [100, 10, 100, 200, 100, 80, 120]


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")


@pytest.fixture
def batch() -> Batch:
    loader = DeviceLoader(
        empty(64, 1, 48, 48, dtype=torch.uint8),
        empty(64, dtype=torch.int64),
        torch.arange(64),
        batch_size=16,
        image_size=32,
        augment=Augment(0.5, 10, (0.9, 1.1), 0.05, 0.1, 0.2, 0.3),
        targets=empty(64, CLASSES),
        mix=Mix(mixup=0.2, cutmix=1.0),
        shuffle=True,
    )
    return loader.batch(epoch=0, step=0)


def test_a_batch_is_made_without_a_look_at_the_device(batch: Batch) -> None:
    assert batch.images.is_meta
    assert (batch.images.shape, batch.targets.shape) == ((16, 1, 32, 32), (16, CLASSES))


@pytest.mark.parametrize("shares", [True, False], ids=["shares", "labels"])
@pytest.mark.parametrize(
    "loss",
    [
        ClassificationLoss(COUNTS, label_smoothing=0.1),
        ClassificationLoss(COUNTS, gamma=2.0),
        ClassificationLoss(COUNTS, class_weights="inverse"),
    ],
    ids=["smoothed", "focal", "weighted"],
)
def test_a_step_is_queued_without_a_look_at_the_device(batch: Batch, loss: ClassificationLoss, shares: bool) -> None:
    classifier = ExpressionModule(
        timm_network("test_resnet", num_classes=CLASSES, in_chans=1, weights="none"),
        network_spec={},
        classes=[str(number) for number in range(CLASSES)],
        image_size=32,
        mean=[0.5],
        std=[0.25],
        ema_decay=0.99,
        loss=copy.deepcopy(loss),
    ).to("meta")
    optimizer = torch.optim.AdamW(classifier.network.parameters())
    logits = classifier(batch.images)
    value = classifier.loss(logits, batch.targets if shares else batch.labels)
    classifier.train_progress.update(value, logits, batch.labels)
    classifier.divergence.see(value, step=0)
    value.backward()
    optimizer.step()
    assert classifier.averaged is not None
    classifier.averaged.follow(classifier.network, step=0)
    assert value.is_meta
