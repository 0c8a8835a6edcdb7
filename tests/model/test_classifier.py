"""The LightningModule: normalised faces in, and checkpoints that rebuild it and run nothing."""

import logging
import os

import pytest
import torch
from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from fer.data.loader import DeviceLoader, class_shares
from fer.data.mix import Mix
from fer.errors import CheckpointError, DivergenceError
from fer.model.classifier import ExpressionClassifier
from fer.model.divergence import DivergenceWatch, divergence
from fer.model.freeze import FreezeSchedule
from fer.model.load import load_classifier
from fer.model.losses import ClassificationLoss
from fer.model.network import timm_network
from fer.model.rates import Geometric
from fer.model.schedule import OneCycle

OURS = "fer.model.network.timm_network"
SPEC = {"_target_": OURS, "backbone": "test_resnet", "num_classes": 3, "in_chans": 1, "weights": "none"}
THAW = FreezeSchedule({0: 1, 1: 2, 2: 3})
CLASSES = ["angry", "happy", "neutral"]


def make(network: nn.Module | None = None, spec: dict | None = None, **options) -> ExpressionClassifier:
    torch.manual_seed(0)
    return ExpressionClassifier(
        network or timm_network("test_resnet", num_classes=3, weights="none"),
        network_spec=spec or SPEC,
        classes=CLASSES,
        image_size=32,
        mean=[0.4],
        std=[0.2],
        **options,
    )


def make_loader(shuffle: bool, mix: Mix | None = None) -> DeviceLoader:
    """24 images of 3 classes, told apart by their brightness."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(24) % 3
    images = torch.randint(0, 60, (24, 1, 32, 32), generator=generator) + 80 * labels.view(-1, 1, 1, 1)
    rows, options = torch.arange(24), {"batch_size": 8, "image_size": 32, "shuffle": shuffle}
    return DeviceLoader(images.to(torch.uint8), labels, rows, **options, mix=mix, targets=class_shares(labels, 3))


class Faces(LightningDataModule):
    def __init__(self, mix: Mix | None = None) -> None:
        super().__init__()
        self.mix = mix

    def train_dataloader(self) -> DeviceLoader:
        loader = make_loader(shuffle=True, mix=self.mix)
        loader.epoch = lambda: self.trainer.current_epoch
        return loader

    def val_dataloader(self) -> DeviceLoader:
        return make_loader(shuffle=False)


def fit(classifier, folder, *callbacks, checkpoint=None, mix=None, **options):
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=bool(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **{"max_epochs": 1, **options},
    )
    trainer.fit(classifier, datamodule=Faces(mix), ckpt_path=checkpoint, weights_only=True)
    return trainer


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A classifier trained for an epoch, and its checkpoint in a run folder."""
    run = tmp_path_factory.mktemp("run")
    classifier = make()
    trainer = fit(classifier, run)
    path = run / "checkpoints" / "best.ckpt"
    trainer.save_checkpoint(path)
    return classifier.eval(), path


def rewritten(path, target, **facts):
    """A copy of a checkpoint with other facts in it."""
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["fer"] |= facts
    torch.save(checkpoint, target)
    return target


def refused(path, **options) -> str:
    with pytest.raises(CheckpointError) as error:
        load_classifier(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_network_sees_normalised_faces():
    classifier = make(nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False)))
    faces = torch.rand(2, 1, 2, 2)
    expected = ((faces - 0.4) / 0.2).flatten(1) @ classifier.network[1].weight.T
    assert torch.allclose(classifier(faces), expected, atol=1e-5)


def test_colour_channels_are_normalised_each_by_its_own():
    classifier = ExpressionClassifier(
        nn.Flatten(), network_spec={}, classes=CLASSES, image_size=1, mean=[0.1, 0.2, 0.3], std=[1, 2, 4]
    )
    assert torch.allclose(classifier(torch.full((1, 3, 1, 1), 0.5)), torch.tensor([[0.4, 0.15, 0.05]]))


def test_the_statistics_travel_with_the_state():
    state = make().state_dict()
    assert state["mean"].flatten().tolist() == pytest.approx([0.4])
    assert state["std"].flatten().tolist() == pytest.approx([0.2])


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


@pytest.mark.parametrize("whole", [True, False], ids=["run folder", "file"])
def test_a_loaded_classifier_gives_the_same_logits(written, whole):
    classifier, path = written
    loaded = load_classifier(path.parents[1] if whole else path)
    faces = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(faces), classifier(faces))
    assert (loaded.classes, loaded.image_size) == (CLASSES, 32)
    assert not any(module.training for module in loaded.modules())


def test_loading_needs_none_of_the_weights_it_started_from(written, tmp_path):
    """A run that began from pretrained weights is loaded where these are gone and nobody is online."""
    path = rewritten(written[1], tmp_path / "best.ckpt", network={**SPEC, "weights": str(tmp_path / "gone.pth")})
    assert load_classifier(path).classes == CLASSES


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


class TestHostileCheckpoints:
    @pytest.mark.parametrize("target", ["os.system", "os.mkdir", "builtins.exec", "fer.model.network._create", None, 7])
    def test_another_target_is_never_called(self, written, tmp_path, monkeypatch, target):
        monkeypatch.chdir(tmp_path)
        spec = {"_target_": target, "command": "touch executed", "path": "executed", "_args_": ["executed"]}
        path = rewritten(written[1], tmp_path / "evil.ckpt", network=spec)
        assert "pass it in" in refused(path)
        assert os.listdir(tmp_path) == ["evil.ckpt"]

    @pytest.mark.parametrize("key", ["backbone", "stem", "drop_rate", "num_classes"])
    def test_a_nested_target_is_never_called(self, written, tmp_path, monkeypatch, key):
        monkeypatch.chdir(tmp_path)
        hostile = {"_target_": "os.mkdir", "path": "executed", "_args_": ["executed"]}
        path = rewritten(written[1], tmp_path / "evil.ckpt", network={**SPEC, key: hostile})
        assert key in refused(path)
        assert os.listdir(tmp_path) == ["evil.ckpt"]

    @pytest.mark.parametrize(
        "spec",
        [
            {**SPEC, "backbone": "hf-hub:somebody/model"},
            {**SPEC, "backbone": "local-dir:/tmp"},
            {**SPEC, "backbone": "no_such_model"},
            {**SPEC, "backbone": 3},
            {**SPEC, "num_classes": "three"},
            {**SPEC, "num_classes": 8},
            {**SPEC, "unheard_of": 1},
            {"_target_": OURS},
        ],
    )
    def test_a_network_that_cannot_be_built_or_does_not_fit(self, written, tmp_path, spec):
        assert "bad.ckpt" in refused(rewritten(written[1], tmp_path / "bad.ckpt", network=spec))

    def test_pickled_code_does_not_run(self, written, tmp_path):
        class Bomb:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "executed"),)

        path = rewritten(written[1], tmp_path / "evil.ckpt", image_size=Bomb())
        assert "never loaded" in refused(path)
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize("share", [0, 0.3, 0.99])
    def test_a_truncated_file(self, written, tmp_path, share):
        content = written[1].read_bytes()
        (tmp_path / "short.ckpt").write_bytes(content[: int(share * len(content))])
        assert "damaged" in refused(tmp_path / "short.ckpt")

    @pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], torch.zeros(3)])
    def test_a_foreign_file(self, tmp_path, content):
        torch.save(content, tmp_path / "foreign.ckpt")
        assert "no checkpoint of this project" in refused(tmp_path / "foreign.ckpt")

    def test_a_missing_file(self, tmp_path):
        assert "no checkpoint at" in refused(tmp_path / "missing.ckpt")


class OwnNetwork(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(width, 3)

    def forward(self, images):
        return self.head(self.body(images))


def test_ones_own_network_is_built_by_oneself_and_passed_in(tmp_path):
    spec = {"_target_": "somewhere.OwnNetwork", "width": 4, "options": {"nested": [1, 2]}}
    classifier = make(OwnNetwork(), spec)
    path = tmp_path / "own.ckpt"
    fit(classifier, tmp_path).save_checkpoint(path)
    assert "somewhere.OwnNetwork" in refused(path)
    loaded = load_classifier(path, network=OwnNetwork())
    faces = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(faces), classifier.eval()(faces))
    assert "does not fit" in refused(path, network=OwnNetwork(width=5))


EVERYTHING = {"mix": Mix(mixup=0.4, cutmix=1.0), "max_epochs": 3}  # what a run goes through, with EMA and dropout


def going_on(**options) -> ExpressionClassifier:
    """One that thaws stage by stage, with all that has a state or draws at random."""
    network = timm_network("test_resnet", num_classes=3, weights="none", drop_rate=0.3)
    return make(network, freeze=THAW, scheduler=OneCycle(), rates=Geometric(), ema_decay=0.9, **options)


@pytest.fixture(scope="module", params=["32-true", "bf16-mixed"])
def straight(request, tmp_path_factory):
    """An uninterrupted run of 9 steps, and its checkpoints after each."""
    folder = tmp_path_factory.mktemp("straight")
    keep = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)
    classifier = going_on()
    trainer = fit(classifier, folder, keep, precision=request.param, **EVERYTHING)
    return classifier, trainer.callback_metrics, folder, request.param


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("step", range(1, 9))
def test_a_run_that_goes_on_from_any_step_equals_the_uninterrupted_one(straight, tmp_path, step):
    """Within an epoch too: the images, what is frozen, the rate, the averages, the metrics. Lightning leaves out the
    hook of the epoch's start there, and gives loaders their position back only if nobody asked for
    `estimated_stepping_batches`."""
    classifier, metrics, folder, precision = straight
    resumed = going_on()
    checkpoint = folder / f"step={step}.ckpt"
    found = fit(resumed, tmp_path, checkpoint=checkpoint, precision=precision, **EVERYTHING).callback_metrics
    for key, value in resumed.state_dict().items():
        assert torch.equal(value, classifier.state_dict()[key]), key
    if step % 3:  # at an epoch's end a step's checkpoint comes before the validation, which Lightning takes for done
        results = [name for name in metrics if name.startswith(("train/", "val/"))]
        assert len(results) == 6
        assert {name: float(found[name]) for name in results} == {name: float(metrics[name]) for name in results}


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


class TestDivergence:
    @pytest.mark.parametrize("ema_decay", [None, 0.9])
    def test_a_loss_that_is_no_number_stops_the_run(self, tmp_path, ema_decay):
        explode = make(optimizer=lambda groups: torch.optim.SGD(groups, lr=1e30), ema_decay=ema_decay)
        with pytest.raises(DivergenceError, match=r"epoch 0, step 1: .*learning rate 1e\+30, .*optimizer\.lr") as error:
            fit(explode, tmp_path, max_epochs=3)
        assert "\n" not in str(error.value)

    def test_no_checkpoint_is_made_of_it(self, tmp_path):
        explode = make(optimizer=lambda groups: torch.optim.SGD(groups, lr=1e30))
        keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
        with pytest.raises(DivergenceError):
            fit(explode, tmp_path, keep, max_epochs=3)
        assert [path.name for path in tmp_path.glob("*.ckpt")] == ["step=1.ckpt"]

    def test_pictures_that_are_no_numbers_are_told_from_rates_that_are_too_high(self):
        network = nn.Linear(1, 1)
        faces = torch.full((1, 1), float("nan"))
        assert "look at the data" in str(divergence(3, 1, 0.1, "32-true", network, faces))
        assert "fp16" in str(divergence(3, 1, 0.1, "16-mixed", network))

    def test_the_watch_remembers_the_first_step(self):
        watch = DivergenceWatch()
        for step, loss in enumerate([1.0, float("inf"), 2.0, float("nan")]):
            watch.see(torch.tensor(loss), step)
        assert watch.step == 1


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
