"""Losses against their definitions."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from fer.cli.app import CONF
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


def least_loss(loss, target):
    """The answer that a loss itself prefers for a picture, without any network: probabilities, float [K]."""
    classes = 3 if target.ndim == 1 else target.shape[1]
    logits = torch.zeros(1, classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], lr=0.5, max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss(logits, target)
        value.backward()
        return value

    optimizer.step(closure)
    return logits.softmax(1)[0].detach()


@cache
def loss_config(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(f"loss/{name}").loss


EVERY_LOSS = sorted(path.stem for path in (CONF / "loss").glob("*.yaml"))
UNEVEN = [[300, 300, 6], [1, 28_000, 0]]


@pytest.mark.parametrize("counts", UNEVEN)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighting", ["none", "inverse", "effective"])
@pytest.mark.parametrize("name", EVERY_LOSS)
def test_the_answer_with_the_least_loss_is_the_true_class(name, weighting, smoothing, counts):
    """Class weights weigh pictures; what is smoothed goes to the others evenly."""
    options = {"class_counts": counts, "class_weights": weighting, "label_smoothing": smoothing}
    loss = instantiate(loss_config(name), **options)
    for label in range(3):
        answer = least_loss(loss, torch.tensor([label]))
        assert answer.argmax() == label
        shares = answer.tolist()
        true = shares.pop(label)
        assert shares[0] == pytest.approx(shares[1], abs=1e-3)  # even
        if not loss.gamma:
            assert true == pytest.approx(1 - smoothing * 2 / 3, abs=1e-3)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("weighting", ["none", "inverse", "effective"])
def test_the_answer_with_the_least_loss_has_the_order_of_a_soft_label(weighting, gamma):
    loss = ClassificationLoss([300, 300, 6], class_weights=weighting, gamma=gamma)
    shares = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
    answer = least_loss(loss, shares)
    assert answer.argsort(descending=True).tolist() == [0, 1, 2]
    if not gamma:
        assert torch.allclose(answer, shares[0], atol=1e-3)


def test_a_class_without_images_weighs_as_the_mean_image():
    for weighting in ("inverse", "effective"):
        assert class_weight([300, 0, 6], weighting)[1] == 1
