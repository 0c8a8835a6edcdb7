import logging
import shutil

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from fer.data.augment import Augment, resample
from fer.data.build_pack import build_pack
from fer.data.datamodule import FERDataModule, pixel_statistics
from fer.data.pack import open_pack
from fer.emotions import EMOTIONS
from fer.errors import ConfigError, DataError

CPU = torch.device("cpu")
SEVEN = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


@pytest.fixture
def data(data_root):
    """A data module on a tiny pack, set up."""

    def make(name="fer2013", **options):
        module = FERDataModule(name, root=str(data_root), **options)
        module.prepare_data()
        module.setup()
        return module

    return make


def test_official_splits_and_all_seven_classes(data):
    module = data()
    assert module.classes == SEVEN
    assert {split: len(rows) for split, rows in module.splits.items()} == {"train": 77, "val": 14, "test": 21}
    for split, rows in module.splits.items():
        assert (module.pack.splits[rows] == split).all()
        assert [SEVEN[label] for label in module.labels[rows]] == module.pack.emotions[rows].tolist()


def test_facts_of_the_data_are_measured(data):
    module = data()
    assert module.channels == 1
    assert module.image_size == 48
    assert data(image_size=96).image_size == 96
    training = np.asarray(module.pack.images)[module.splits["train"]] / 255
    assert module.mean == pytest.approx([training.mean()], abs=1e-9)
    assert module.std == pytest.approx([training.std()], abs=1e-9)


def test_statistics_are_by_channel_and_only_of_the_rows_asked_for():
    images = np.random.default_rng(0).integers(0, 256, (1100, 4, 5, 3), dtype=np.uint8)
    images[..., 1] //= 2
    rows = np.arange(0, 1100, 2)
    mean, std = pixel_statistics(images, rows)
    assert mean == pytest.approx((images[rows] / 255).mean((0, 1, 2)), abs=1e-9)
    assert std == pytest.approx((images[rows] / 255).std((0, 1, 2)), abs=1e-9)


def test_images_without_contrast_can_still_be_divided_by_their_deviation():
    assert pixel_statistics(np.full((3, 4, 4), 51, np.uint8), np.arange(3)) == (pytest.approx([0.2]), [1.0])


def test_a_default_class_without_images_is_left_out_with_a_warning(data, caplog):
    with caplog.at_level(logging.WARNING):
        module = data("ckplus", folds=5)
    assert module.classes == SEVEN[:6]
    assert "no neutral images" in caplog.text
    rows = np.concatenate(list(module.splits.values()))
    assert "contempt" not in module.pack.emotions[rows]  # not a default class
    assert module.labels[rows].max() == 5


def test_a_class_asked_for_by_name_must_have_images(data):
    with pytest.raises(DataError, match=r"data\.classes names neutral, of which .* has no image; it has angry"):
        data("ckplus", folds=5, classes=["happy", "neutral"])


def test_classes_stand_in_the_order_asked_for_whatever_their_synonym(data):
    module = data(classes=["joy", "Anger", "sadness"])
    assert module.classes == ["happy", "angry", "sad"]
    rows = np.concatenate(list(module.splits.values()))
    assert set(module.pack.emotions[rows]) == {"happy", "angry", "sad"}
    assert [module.classes[label] for label in module.labels[rows]] == module.pack.emotions[rows].tolist()
    batch = next(iter(module.eval_loader("test", CPU)))
    assert [module.classes[label] for label in batch.labels] == module.pack.emotions[batch.rows].tolist()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["happy", "smug"], "'smug' is no emotion"),
        (["happy", "sad", "joy"], "names an emotion twice"),
        (["happy"], "fewer than two"),
        ([], "fewer than two"),
    ],
)
def test_classes_that_cannot_work(data, classes, message):
    with pytest.raises(ConfigError, match=message):
        data(classes=classes)


def test_folds_share_no_subject_and_test_everybody_once(data):
    tested = []
    for fold in range(5):
        module = data("ckplus", folds=5, fold=fold)
        people = {split: set(module.pack.subjects[rows]) for split, rows in module.splits.items()}
        assert not people["train"] & people["val"]
        assert not (people["train"] | people["val"]) & people["test"]
        tested += module.splits["test"].tolist()
    assert sorted(tested) == np.flatnonzero(module.labels >= 0).tolist()


def test_folds_do_not_depend_on_the_classes_chosen(data):
    """So that the tables of six and of seven classes test the same people."""
    for fold in range(5):
        six, seven = (data("ckplus", folds=5, fold=fold, classes=c) for c in (SEVEN[:6], [*SEVEN[:6], "contempt"]))
        for split in ("train", "val", "test"):
            rows = seven.splits[split]
            assert six.splits[split].tolist() == rows[seven.labels[rows] < 6].tolist()


def test_folds_need_subjects(data):
    with pytest.raises(DataError, match="112 of 112 images have no subject"):
        data(folds=10)


def test_a_fold_without_folds(data):
    with pytest.raises(ConfigError, match=r"data\.fold=3, but data=fer2013 is not folded"):
        data(fold=3)


def test_data_without_a_split_of_its_own_names_the_way_out(data):
    with pytest.raises(DataError, match=r"data=ckplus has no official split \(all: 84 images.*data\.folds=10"):
        data("ckplus")


def test_a_missing_pack_names_the_command(tmp_path):
    module = FERDataModule("mine", pack="ckplus", root=str(tmp_path))
    for stage in (module.prepare_data, module.setup):
        with pytest.raises(DataError, match=r"scripts/prepare\.py data=ckplus data\.source=PATH"):
            stage()


def test_a_pack_is_made_on_first_use(tmp_path, ckplus_zip):
    module = FERDataModule("mine", pack="ckplus", source=str(ckplus_zip), root=str(tmp_path), folds=5)
    module.prepare_data()
    module.setup()
    assert len(open_pack(tmp_path / "ckplus")) == 84


def test_a_setup_that_failed_is_not_taken_for_done(data_root):
    module = FERDataModule("fer2013", root=str(data_root), folds=10)
    for _ in range(2):
        with pytest.raises(DataError, match="no subject"):
            module.setup()


@pytest.fixture
def without_validation(tmp_path, fer2013_files, write_folder):
    files = {name: content for name, content in fer2013_files.items() if "PublicTest" not in name}
    build_pack(tmp_path / "packs", "two", str(write_folder(tmp_path / "source", files)))
    return FERDataModule("two", root=str(tmp_path / "packs"))


def test_without_a_val_split_a_ninth_of_train_is_taken(without_validation, caplog):
    without_validation.setup()
    sizes = {split: len(rows) for split, rows in without_validation.splits.items()}
    assert sizes == {"train": 63, "val": 14, "test": 21}  # 2 of 11 of each class
    assert set(without_validation.labels[without_validation.splits["val"]]) == set(range(7))
    assert "a ninth of its training images validates" in caplog.text
    chosen = without_validation.splits
    assert (without_validation.pack.splits[chosen["val"]] == "train").all()
    assert (without_validation.pack.splits[chosen["test"]] == "test").all()


def test_a_split_without_images_of_the_classes_is_refused(tmp_path, write_folder, picture):
    files = {f"{split}/{emotion}/1.png": picture(1) for split in ("train", "val") for emotion in ("happy", "sad")}
    files["test/fear/1.png"] = picture(2)
    build_pack(tmp_path, "odd", str(write_folder(tmp_path / "source", files)))
    with pytest.raises(DataError, match="data=odd leaves no test images"):
        FERDataModule("odd", root=str(tmp_path), classes=["happy", "sad"]).setup()


def test_the_loader_of_a_split_gives_its_images_in_order(data):
    module = data(image_size=32, batch_size=2)
    batches = list(module.eval_loader("val", CPU))
    assert [len(batch.labels) for batch in batches] == [8, 6]  # four times the batch size of training
    rows = torch.cat([batch.rows for batch in batches]).numpy()
    assert (rows == module.splits["val"]).all()
    expected = resample(torch.from_numpy(np.array(module.pack.images[rows]))[:, None], 32)
    assert torch.equal(torch.cat([batch.images for batch in batches]), expected)
    assert len(next(iter(data(eval_batch_size=3).eval_loader("test", CPU))).labels) == 3


def trainer_on_cpu(**options):
    return Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


@pytest.fixture
def attached(data):
    """The same with a Trainer, as in `fit`."""

    def make(**options):
        module = data(**options)
        module.trainer = trainer_on_cpu()
        return module

    return make


def test_training_shuffles_and_augments_evaluation_does_not(attached):
    module = attached(batch_size=10, augment=Augment(brightness=0.5))
    batches = list(module.train_dataloader())
    assert len(batches) == 7
    rows = torch.cat([batch.rows for batch in batches])
    assert set(rows.tolist()) <= set(module.splits["train"])
    assert rows.tolist() != sorted(rows.tolist())
    native = torch.from_numpy(np.array(module.pack.images))[:, None]
    assert (batches[0].images - native[batches[0].rows] / 255).abs().max() > 0.05
    for split, loader in (("val", module.val_dataloader()), ("test", module.test_dataloader())):
        batches = list(loader)
        rows = torch.cat([batch.rows for batch in batches])
        assert rows.tolist() == module.splits[split].tolist()
        assert torch.equal(torch.cat([batch.images for batch in batches]), native[rows] / 255)


def test_the_seed_fixes_what_is_trained_on(attached):
    orders = [
        [batch.rows.tolist() for batch in attached(batch_size=10, seed=seed).train_dataloader()] for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_images_are_put_on_the_device_once(attached):
    module = attached()
    loaders = module.train_dataloader(), module.val_dataloader(), module.eval_loader("test", CPU)
    assert len({loader.store.images.data_ptr() for loader in loaders}) == 1


def test_the_loaders_of_training_need_a_trainer(data):
    with pytest.raises(RuntimeError, match="eval_loader"):
        data().train_dataloader()


class RowKeeper(LightningModule):
    """Keeps the rows of every training batch, and saves a checkpoint at one step."""

    def __init__(self, path=None, save_at=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.path, self.save_at, self.seen = path, save_at, []

    def training_step(self, batch, _):
        self.seen.append((self.current_epoch, batch.rows.tolist()))
        return self.weight.sum()

    def validation_step(self, batch, _):
        pass

    def on_train_batch_end(self, outputs, batch, index):
        if self.global_step == self.save_at:
            self.trainer.save_checkpoint(self.path)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


@pytest.mark.parametrize("save_at", [1, 5, 6, 7, 11])  # of six steps an epoch
def test_a_trainer_resumed_from_any_step_sees_exactly_the_batches_that_were_left(data, tmp_path, save_at):
    whole, path = RowKeeper(tmp_path / "step.ckpt", save_at), tmp_path / "step.ckpt"
    trainer_on_cpu(max_epochs=3).fit(whole, datamodule=data(batch_size=12))
    assert len(whole.seen) == 18
    resumed = RowKeeper()
    trainer_on_cpu(max_epochs=3).fit(resumed, datamodule=data(batch_size=12), ckpt_path=path, weights_only=True)
    assert resumed.seen == whole.seen[save_at:]


def test_training_images_grow_in_the_course_of_the_run(data):
    module = data(image_size=16, train_image_size=[[0, 8], [0.5, 12]])
    module.trainer = Trainer(max_epochs=4, accelerator="cpu", logger=False, enable_checkpointing=False)
    assert [module.train_size(epoch) for epoch in range(4)] == [8, 8, 12, 12]
    loader = module.train_loader(CPU)
    assert [loader.batch(epoch, 0).images.shape[-1] for epoch in range(4)] == [8, 8, 12, 12]
    assert module.eval_loader("val", CPU).batch(0, 0).images.shape[-1] == 16


@pytest.mark.parametrize("sizes", [{1: 8}, {0: 0}, {0: "small"}, [8], 8])
def test_sizes_that_cannot_be_are_refused(sizes):
    with pytest.raises(ConfigError, match="train_image_size"):
        FERDataModule("fer2013", train_image_size=sizes)


def test_images_are_counted_by_class(data):
    assert data().class_counts == [11] * 7


def test_votes_become_the_targets_of_training(data, tmp_path, data_root):
    module = data()
    shutil.copytree(data_root / "fer2013", tmp_path / "voted")
    votes = np.zeros((len(module.pack), len(EMOTIONS)), np.float32)
    votes[:, EMOTIONS.index("angry")], votes[:, EMOTIONS.index("contempt")] = 0.3, 0.4
    votes[:, EMOTIONS.index("sad")] = 0.3
    votes[0] = np.eye(len(EMOTIONS))[EMOTIONS.index("contempt")]  # none of it for a class that is told apart
    np.save(tmp_path / "voted" / "votes.npy", votes)
    voted = FERDataModule("voted", root=str(tmp_path), soft_labels=True)
    voted.setup()
    targets = voted._targets()
    assert targets[1].tolist() == pytest.approx([0.5, 0, 0, 0, 0.5, 0, 0])
    assert targets[0].tolist() == np.eye(7)[voted.labels[0]].tolist()
    batch = voted.train_loader(CPU).batch(0, 0)
    assert torch.equal(batch.targets, targets[batch.rows])


def test_soft_labels_want_votes(data):
    with pytest.raises(ConfigError, match="ferplus"):
        data(soft_labels=True)
