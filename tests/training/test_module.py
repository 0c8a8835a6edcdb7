"""The LightningModule: normalised faces in, metrics of whole epochs, checkpoints of plain values."""

import pytest
import torch
from torch import nn
from trainings import CLASSES, SPEC, fit, make, make_loader

from fer.models.load import load_classifier
from fer.models.losses import ClassificationLoss


def test_training_lowers_the_loss(tmp_path):
    trainer = fit(make(optimizer=lambda groups: torch.optim.AdamW(groups, lr=3e-3)), tmp_path, max_epochs=1)
    first = trainer.callback_metrics["train/loss"]
    trainer = fit(make(optimizer=lambda groups: torch.optim.AdamW(groups, lr=3e-3)), tmp_path, max_epochs=6)
    assert trainer.callback_metrics["train/loss"] < first
    names = {"loss", "accuracy", "macro_f1"}
    assert {f"{split}/{name}" for split in ("train", "val") for name in names} <= set(trainer.callback_metrics)


def test_validation_numbers_are_of_all_images_of_one_epoch(tmp_path):
    classifier = make()
    trainer = fit(classifier, tmp_path, max_epochs=2)
    batches = list(make_loader(shuffle=False))
    with torch.no_grad():
        logits = torch.cat([classifier.eval()(batch.images) for batch in batches])
    labels = torch.cat([batch.labels for batch in batches])
    assert trainer.callback_metrics["val/accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert trainer.callback_metrics["val/loss"] == pytest.approx(float(nn.functional.cross_entropy(logits, labels)))
    matrix = torch.zeros(3, 3, dtype=torch.long).index_put_(
        (labels, logits.argmax(1)), torch.ones(24, dtype=torch.long), accumulate=True
    )
    assert torch.equal(classifier.confusion.compute(), matrix)


def test_label_smoothing_is_of_training_alone(tmp_path):
    losses = {}
    for smoothing in (0.0, 0.3):
        classifier = make(loss=ClassificationLoss([8, 8, 8], smoothing), optimizer=lambda g: torch.optim.SGD(g, lr=0))
        results = fit(classifier, tmp_path).callback_metrics
        losses[smoothing] = results["train/loss"], results["val/loss"]
    assert losses[0.3][0] > losses[0.0][0]
    assert losses[0.3][1] == losses[0.0][1]


def test_the_rate_follows_the_schedule_over_the_whole_run(tmp_path):
    asked = []

    def schedule(step: int, total_steps: int) -> float:
        asked.append((step, total_steps))
        return 1.0

    fit(make(scheduler=schedule), tmp_path, max_epochs=2)
    assert {total for _, total in asked} == {6}
    assert {step for step, _ in asked} == set(range(7))


def test_a_checkpoint_is_tensors_and_plain_values(written):
    _classifier, path = written
    checkpoint = torch.load(path, weights_only=True)
    assert "network.fc.weight" in checkpoint["state_dict"]
    facts = {"format": 1, "network": SPEC, "classes": CLASSES, "image_size": 32}
    assert {name: checkpoint["fer"][name] for name in facts} == facts


def test_compiling_leaves_the_keys_as_they_are():
    assert make(compile=True).state_dict().keys() == make().state_dict().keys()


def test_channels_last_changes_the_layout_alone(written):
    classifier, _path = written
    other = make(channels_last=True)
    other.load_state_dict(classifier.state_dict())
    assert other.network.layer4[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    faces = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.allclose(other.eval()(faces), classifier(faces), atol=1e-5)


def test_what_is_evaluated_and_saved_is_the_average(tmp_path):
    classifier = make(ema_decay=0.9)
    trainer = fit(classifier, tmp_path, max_epochs=2)
    trainer.save_checkpoint(tmp_path / "best.ckpt", weights_only=True)
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)["state_dict"]
    averaged = classifier.averaged.network.state_dict()
    assert all(torch.equal(saved[f"network.{key}"], value) for key, value in averaged.items())
    assert not any(key.startswith("averaged") for key in saved)
    raw = classifier.network.state_dict()
    assert any(not torch.equal(raw[key], averaged[key]) for key in raw)
    faces = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_classifier(tmp_path / "best.ckpt")(faces), classifier.eval()(faces))
        assert not torch.equal(classifier.network.eval()((faces - 0.4) / 0.2), classifier(faces))


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"max_epochs": 2}, 6),
        ({"max_epochs": 2, "limit_train_batches": 2}, 4),
        ({"max_epochs": 2, "limit_train_batches": 0.4}, 2),
        ({"max_epochs": 2, "accumulate_grad_batches": 2}, 4),
        ({"max_epochs": 2, "max_steps": 5}, 5),
        ({"max_epochs": -1, "max_steps": 4}, 4),
    ],
)
def test_the_schedule_knows_the_steps_of_the_run(tmp_path, options, steps):
    totals = set()
    trainer = fit(make(scheduler=lambda step, total: totals.add(total) or 1.0), tmp_path, **options)
    assert totals == {steps}
    assert trainer.global_step == steps
