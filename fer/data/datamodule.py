"""A pack as training, validation and test loaders on the device."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor

from fer.data.augment import Augment, Mix
from fer.data.build_pack import ensure_pack
from fer.data.classes import choose_classes, described, numbered, vocabulary
from fer.data.image_store import RESIDENCIES, ImageStore, Residency, open_store
from fer.data.loader import DeviceLoader, class_shares
from fer.data.near_duplicates import have_duplicate, photograph_groups
from fer.data.pack import Pack, open_pack
from fer.data.splits import (
    held_out,
    named_subjects,
    subject_fold_splits,
    warn_of_no_split,
    warn_of_own_splits,
    with_validation,
)
from fer.emotions import EMOTIONS, SPLITS
from fer.epochs import schedule, schedule_value
from fer.errors import ConfigError, DataError
from fer.faces.framing import Faces

log = logging.getLogger(__name__)


class FERDataModule(LightningDataModule):
    """Opens (or first makes) a pack, chooses classes and splits, serves batches from the device.

    After `setup` it holds the facts of the data: `classes`, `channels`, `mean`, `std`, `splits`.

    Args:
        name: what the run calls the data.
        pack: folder of the pack under `root`; `name` where None.
        source: what was downloaded: a folder, an archive, or `drawn:NAME`; needed only until the pack exists.
        root: where packs live.
        classes: emotions to distinguish, in this order; one without images is an error.
        default_classes: the same where `classes` is None; one without images is left out with a warning.
        folds: number of subject-exclusive folds; None takes the data's own split.
        fold: the fold that is tested.
        subject: regular expression that finds the person in an image's path, where the data set does not say it.
        image_size: side of the network's input, pixels; None takes the stored size.
        batch_size: images a step, on each device.
        eval_batch_size: the same where nothing is trained; None takes four times as many.
        store_size: side of packed images where the source's sizes differ, pixels.
        votes: whether the labels are those of FER+, in place of FER2013's own, when the pack is made.
        faces: how pictures become faces when the pack is made, see `fer.faces.framing.FramingRecord`; `auto` leaves it
            to the data set.
        align: whether faces are then turned until the eyes are level.
        residency: where images are while training runs: whole on the `device`, or `mapped` from disk and read ahead;
            `auto` goes by the free memory.
        drop_leaks: leave out of training what has a duplicate (same pixels or same photograph) in
            validation or test, and out of validation what has one in test.
        train_image_size: side of training images during the run, start -> pixels, as `[[0, 64], [0.5, 96]]`
            (a start is an epoch or a fraction of the run); None is always `image_size`.
        soft_labels: train on the shares of the votes (FER+) in place of the label with most votes.
        balanced: draw the classes of training images evenly, with replacement.
        augment: random changes of training images.
        mix: training images mixed in pairs.
        seed: of order, augmentation and mixing.
    """

    def __init__(
        self,
        name: str,
        *,
        pack: str | None = None,
        source: str | None = None,
        root: str = "data",
        classes: Sequence[str] | None = None,
        default_classes: Sequence[str] = EMOTIONS[:7],
        folds: int | None = None,
        fold: int = 0,
        subject: str | None = None,
        image_size: int | None = None,
        batch_size: int = 64,
        eval_batch_size: int | None = None,
        store_size: int = 48,
        votes: bool = False,
        faces: Faces = "auto",
        align: bool = False,
        residency: Residency = "auto",
        drop_leaks: bool = False,
        train_image_size: Mapping[int | float, int] | Sequence[Sequence[Any]] | None = None,
        soft_labels: bool = False,
        balanced: bool = False,
        augment: Augment | None = None,
        mix: Mix | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.name, self.source, self.root = name, source, root
        self.pack_name = pack or name
        self.requested_classes = None if classes is None else [vocabulary(word) for word in classes]
        self.default_classes = [vocabulary(word) for word in default_classes]
        self.folds, self.fold, self.subject = folds, fold, subject
        self.requested_image_size, self.store_size = image_size, store_size
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size or 4 * batch_size
        if residency not in RESIDENCIES:
            raise ConfigError(f"data.residency={residency}: choose {', '.join(RESIDENCIES)}")
        self.residency: Residency = residency
        self.drop_leaks, self.votes = drop_leaks, votes
        self.faces, self.align = faces, align
        self.soft_labels, self.balanced = soft_labels, balanced
        sizes = None if train_image_size is None else schedule("data.train_image_size", train_image_size)
        if sizes is not None and any(type(size) is not int or size < 1 for size in sizes.values()):
            raise ConfigError(f"data.train_image_size={train_image_size}: sizes are pixels, 1 or more")
        self.train_image_size: dict[int | float, int] | None = sizes
        self.augment, self.mix, self.seed = augment, mix, seed
        self.pack: Pack | None = None
        self.held_out = False  # whether tests are images that nothing but their names sets apart
        self._opened: tuple[torch.device, ImageStore, Tensor] | None = None

    def prepare_data(self) -> None:
        ensure_pack(self.root, self.pack_name, self.source, self.store_size, self.votes, self.faces, self.align)

    def setup(self, stage: str | None = None) -> None:
        if self.pack is not None:
            return
        pack = self._open_pack()
        self._set_facts(pack, choose_classes(pack, str(self.name), self.requested_classes, self.default_classes))
        splits = self._choose_splits(pack)
        self.splits = {split: np.flatnonzero((splits == split) & (self.labels >= 0)) for split in SPLITS}
        if self.drop_leaks:
            self._drop_leaks(pack)
        for split, rows in self.splits.items():
            if len(rows) == 0:
                raise DataError(f"data={self.name} leaves no {split} images: {described(pack)}")
        self.mean, self.std = pixel_statistics(pack.images, self.splits["train"])
        self.class_counts = np.bincount(self.labels[self.splits["train"]], minlength=len(self.classes)).tolist()
        if unseen := [emotion for emotion, seen in zip(self.classes, self.class_counts, strict=True) if not seen]:
            log.warning("%s has no training image of %s, which cannot be learned", self.name, " or ".join(unseen))
        if self.soft_labels and pack.votes is None:
            raise ConfigError(f"data.soft_labels=true, but {pack.folder} has no votes; data=ferplus has them")
        self.pack = pack

    @property
    def folder(self) -> Path:
        """Of the pack."""
        return Path(self.root) / self.pack_name

    def setup_whole(self) -> None:
        """Open the pack to evaluate on it alone: `splits` holds `all`, and those that the pack itself names."""
        if self.pack is not None:
            return
        pack = self._open_pack()
        present = set(pack.emotions.tolist())
        wanted = self.default_classes if self.requested_classes is None else self.requested_classes
        self._set_facts(pack, [emotion for emotion in wanted if emotion in present])
        self.splits = {split: np.flatnonzero((pack.splits == split) & (self.labels >= 0)) for split in SPLITS}
        self.splits["all"] = np.flatnonzero(self.labels >= 0)
        self.pack = pack

    def _set_facts(self, pack: Pack, classes: list[str]) -> None:
        """Classes, labels and sizes of the images."""
        self.classes, self.labels = classes, numbered(pack.emotions, classes)
        self.channels = 3 if pack.images.ndim == 4 else 1
        self.stored_size, self.framing = pack.stored_size, pack.framing
        self.image_size = self.requested_image_size or pack.stored_size

    def _open_pack(self) -> Pack:
        pack = open_pack(self.folder)
        pack = pack if self.subject is None else replace(pack, subjects=named_subjects(pack.names, self.subject))
        pack.groups  # noqa: B018 - a mistake in its table is told before the training, not after it
        return pack

    def _choose_splits(self, pack: Pack) -> np.ndarray:
        if self.folds is not None:
            return subject_fold_splits(pack.subjects, self.fold, self.folds)
        if self.fold:
            raise ConfigError(f"data.fold={self.fold}, but data={self.name} is not folded: give data.folds too")
        named = {*pack.splits.tolist()} - {"all"}
        if named:
            warn_of_no_split(pack, self.name)
        self.held_out = not named - {"train", "val"} and named != {"val"} and bool((pack.subjects == "").any())
        if self.held_out:
            log.warning(
                "%s has no test split and no subjects: of each emotion the last tenth of the images, by name, tests; "
                "people may be on both sides, and the accuracy too high. Where names tell the person, "
                "data.subject=PATTERN data.folds=10 folds=all is better",
                self.name,
            )
            return held_out(pack.splits, pack.emotions)
        if not {"train", "test"} <= named:
            raise DataError(
                f"data={self.name} has no official split ({described(pack)}); give data.folds=10 for "
                f"subject-exclusive folds{', or name folders train and test and pack them again' if named else ''}"
            )
        warn_of_own_splits(pack, self.name)
        if "val" not in pack.splits:
            log.warning("%s has no validation split: a ninth of its training images validates", self.name)
            return with_validation(pack.splits, pack.emotions, pack.subjects)
        return pack.splits

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data: the digest of the pack."""
        return {} if self.pack is None else {"pack_sha256": self.pack.sha256}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Check that a run resumes on the data that it began on.

        Raises:
            DataError: another pack.
        """
        if self.pack is not None and state.get("pack_sha256", self.pack.sha256) != self.pack.sha256:
            raise DataError(
                f"{self.folder} holds other images or labels than this run has been trained on so far: give data.root= "
                "of the pack that it began with, or begin a new run"
            )

    def _drop_leaks(self, pack: Pack) -> None:
        groups = photograph_groups(pack)
        for split, later in (("train", ("val", "test")), ("val", ("test",))):
            rows, others = self.splits[split], np.concatenate([self.splits[name] for name in later])
            leaks = have_duplicate(groups, rows, others)
            self.splits[split] = rows[~leaks]
            where = " or ".join(later)
            log.info("data.drop_leaks: %d of %d %s images have a duplicate in %s", leaks.sum(), len(rows), split, where)

    def train_dataloader(self) -> DeviceLoader:
        trainer = self._trainer()
        return self.train_loader(
            trainer.strategy.root_device,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            epoch=lambda: trainer.current_epoch,
        )

    def train_loader(self, device: torch.device, **options: Any) -> DeviceLoader:
        """Augmented training batches on a device.

        Args:
            device: where batches are wanted.
            options: rank, world_size and epoch of `DeviceLoader`.
        """
        images, labels = self._on(device)
        targets = self._targets()
        return DeviceLoader(
            images,
            labels,
            torch.from_numpy(self.splits["train"]),
            batch_size=self.batch_size,
            image_size=self.train_size,
            augment=self.augment,
            targets=None if targets is None else targets.to(device),
            mix=self.mix,
            balanced=self.balanced,
            shuffle=True,
            seed=self.seed,
            **options,
        )

    def val_dataloader(self) -> DeviceLoader:
        return self._shard("val")

    def test_dataloader(self) -> DeviceLoader:
        return self._shard("test")

    def _shard(self, split: str) -> DeviceLoader:
        """This rank's share of a split."""
        trainer = self._trainer()
        return self.eval_loader(
            split, trainer.strategy.root_device, rank=trainer.global_rank, world_size=trainer.world_size
        )

    def eval_loader(self, split: str, device: torch.device, **options: Any) -> DeviceLoader:
        """The images of a split, in the pack's order, on a device: all, or those of a rank.

        Args:
            split: one of `splits`.
            device: where batches are wanted.
            options: of `DeviceLoader`; sizes of batch and image are the module's where not given.
        """
        images, labels = self._on(device)
        settings = {"batch_size": self.eval_batch_size, "image_size": self.image_size, **options}
        return DeviceLoader(images, labels, torch.from_numpy(self.splits[split]), **settings)

    def _targets(self) -> Tensor | None:
        """The share of each class in each image, float [N, K], on the CPU; None where the labels are all there is."""
        if not (self.soft_labels or (self.mix is not None and self.mix.mixes)):
            return None
        targets = class_shares(torch.from_numpy(self.labels), len(self.classes))
        if self.soft_labels:
            assert self.pack is not None
            assert self.pack.votes is not None
            votes = torch.from_numpy(self.pack.votes)[:, [EMOTIONS.index(emotion) for emotion in self.classes]]
            total = votes.sum(dim=1, keepdim=True)
            targets = torch.where(total > 0, votes / total.clamp(min=1e-9), targets)
        return targets

    def train_size(self, epoch: int) -> int:
        """Side of training images in an epoch, pixels."""
        if self.train_image_size is None:
            return self.image_size
        return schedule_value(self.train_image_size, epoch, (self.trainer and self.trainer.max_epochs) or 1)

    def _trainer(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError("these loaders belong to a Trainer; use train_loader and eval_loader without one")
        return self.trainer

    def _on(self, device: torch.device) -> tuple[ImageStore, Tensor]:
        """The images, and the labels, int64 [N], on a device; put there once."""
        if self._opened is None or self._opened[0] != device:
            assert self.pack is not None, "setup comes first"
            self._opened = None  # frees what another device holds
            store = open_store(self.pack.images, device, self.residency)
            self._opened = (device, store, torch.from_numpy(self.labels).to(device))
        return self._opened[1], self._opened[2]


def pixel_statistics(images: np.ndarray, rows: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, as fractions of the full range.

    Args:
        images: uint8 [N, H, W] or [N, H, W, C].
        rows: the images to count, int [n].
    """
    channels = images.shape[3] if images.ndim == 4 else 1
    counts = np.zeros((channels, 256))
    for some in np.array_split(rows, -(-len(rows) // 512)):  # so that a memory-mapped pack is never whole in memory
        pixels = images[some].reshape(-1, channels)
        counts += [np.bincount(pixels[:, channel], minlength=256) for channel in range(channels)]
    share = counts / counts.sum(axis=1, keepdims=True)
    levels = np.arange(256) / 255
    mean = share @ levels
    std = np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1))
    return mean.tolist(), [value or 1.0 for value in std.tolist()]
