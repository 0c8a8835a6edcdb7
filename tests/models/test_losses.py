"""Losses against their definitions."""

import pytest
import torch
import torch.nn.functional as F

from fer.errors import ConfigError
from fer.models.losses import ClassificationLoss, class_weight

COUNTS = [10, 30, 60]
LOGITS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3
SHARES = F.one_hot(LABELS, 3).float()


def test_plain_is_cross_entropy():
    assert torch.allclose(ClassificationLoss(COUNTS)(LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.2},
        {"gamma": 2.0},
        {"gamma": 1.0, "label_smoothing": 0.1, "class_weights": "inverse"},
        {"class_weights": "effective", "label_smoothing": 0.1},
    ],
)
def test_labels_and_their_shares_are_the_same_target(options):
    loss = ClassificationLoss(COUNTS, **options)
    assert torch.allclose(loss(LOGITS, LABELS), loss(LOGITS, SHARES), atol=1e-6)


def test_a_mixed_target_is_the_mean_of_its_losses():
    loss, other = ClassificationLoss(COUNTS), LABELS.roll(1)
    mixed = 0.7 * SHARES + 0.3 * F.one_hot(other, 3)
    assert torch.allclose(loss(LOGITS, mixed), 0.7 * loss(LOGITS, LABELS) + 0.3 * loss(LOGITS, other), atol=1e-6)


def test_the_focal_loss_is_that_of_its_paper():
    """Lin et al. 2017, equation 4: -(1 - p)^gamma log p."""
    p = LOGITS.softmax(1)[torch.arange(12), LABELS]
    assert torch.allclose(ClassificationLoss(COUNTS, gamma=2.0)(LOGITS, LABELS), (-((1 - p) ** 2) * p.log()).mean())


@pytest.mark.parametrize("gamma", [0.25, 0.5, 1.0, 2.0])
def test_a_certain_answer_has_a_gradient(gamma):
    logits = torch.tensor([[40.0, 0.0, 0.0], [0.0, 40.0, 0.0]], requires_grad=True)
    ClassificationLoss([1, 1, 1], gamma=gamma)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[1].abs().max() > 0.1


def test_a_tiny_gamma_is_nearly_cross_entropy():
    """So the two branches of the code agree, weights and smoothing included."""
    options = {"label_smoothing": 0.1, "class_weights": "inverse"}
    focal, plain = ClassificationLoss(COUNTS, gamma=1e-6, **options), ClassificationLoss(COUNTS, **options)
    assert torch.allclose(focal(LOGITS, LABELS), plain(LOGITS, LABELS), atol=1e-4)


def test_inverse_weights_make_every_class_count_as_much():
    weight = class_weight(COUNTS, "inverse")
    assert torch.allclose(weight * torch.tensor(COUNTS), torch.full((3,), 100 / 3))


def test_effective_weights_lie_between_equal_and_inverse():
    """Cui et al. 2019: (1 - beta) / (1 - beta^n)."""
    weight = class_weight([10, 100, 10_000], "effective")
    ratio = (1 - 0.999**10_000) / (1 - 0.999**10)
    assert weight[0] / weight[2] == pytest.approx(ratio, rel=1e-3)
    assert 1 < ratio < 1000


@pytest.mark.parametrize("weighting", ["inverse", "effective"])
def test_weights_have_mean_one_over_the_images(weighting):
    counts = torch.tensor(COUNTS, dtype=torch.float)
    assert (class_weight(COUNTS, weighting) * counts).sum() / counts.sum() == pytest.approx(1)


def test_a_class_without_images_harms_nothing():
    loss = ClassificationLoss([5, 0, 5], class_weights="inverse")
    assert torch.isfinite(loss(LOGITS, LABELS * 0))


def test_weights_travel_to_the_device_but_not_into_checkpoints():
    loss = ClassificationLoss(COUNTS, class_weights="inverse")
    assert loss.state_dict() == {}
    assert [name for name, _ in loss.named_buffers()] == ["weight"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"gamma": -1}, "gamma=-1"),
        ({"class_weights": "squared"}, "none, inverse, effective"),
    ],
)
def test_what_cannot_be_is_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        ClassificationLoss(COUNTS, **options)
