"""Batches made on the device that trains, from images that are there or mapped from disk: no decoding."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fer.data.augment import Augment, Mix, resample
from fer.data.image_store import ImageStore, ResidentImages
from fer.errors import ConfigError

PREFETCH_BATCHES = 3  # batches read before they are asked for, where images come from disk


class Batch(NamedTuple):
    """Faces ready for the network, with their classes and their rows in the pack."""

    images: Tensor  # float [B, C, S, S] in [0, 1]; [V * B, C, S, S] where several views of each are shown
    labels: Tensor  # int64 [B]
    rows: Tensor  # int64 [B]
    targets: Tensor  # what the loss sees: the labels, int64 [B], or the share of each class, float [B, K]


class Plan(NamedTuple):
    """What an epoch visits and how it changes it, position by position."""

    epoch: int
    order: Tensor  # rows, int64 [n], where they are read from
    rows: Tensor  # the same on the device, so that no step waits for a copy
    augment: Tensor | None  # choices of augmentation, float [n, columns]
    mix: Tensor | None  # choices of mixing, float [n, columns]


class DeviceLoader:
    """Iterates over uint8 images; all but reading them happens on the device.

    A training epoch visits the images in an order drawn from (seed, epoch) and leaves a last short batch out;
    augmentation and mixing come from the same source, a row of choices for each position of the epoch. So
    `batch(epoch, step)` is a pure function: any step can be made again. Evaluation goes through all images in order.

    With several ranks each takes every `world_size`-th image of the global batch (training: `world_size *
    batch_size` images a step, as many steps on each rank) or of the split (evaluation: each image once).

    Args:
        images: uint8 [N, C, H, W], on the device; or where else they are.
        labels: int64 [N], on the device.
        rows: the images to visit, int64 [n].
        batch_size: images a step on this rank.
        image_size: side S of the batches' images, pixels; or that of each epoch.
        augment: random changes; None only resamples.
        targets: share of each class, float [N, K], on the device; None where the labels are all there is.
        mix: images mixed in pairs, within the rank's own batch; wants `targets`.
        balanced: draw classes evenly, with replacement, in place of visiting every image once.
        shuffle: whether this is training.
        views: how evaluated images are shown: (uint8 [B, C, H, W], size) -> float [V * B, C, S, S], view by view; None
            shows them upright, once.
        epoch: gives the current epoch.

    Raises:
        ConfigError: a batch or image size under 1.
    """

    def __init__(
        self,
        images: Tensor | ImageStore,
        labels: Tensor,
        rows: Tensor,
        *,
        batch_size: int,
        image_size: int | Callable[[int], int],
        augment: Augment | None = None,
        targets: Tensor | None = None,
        mix: Mix | None = None,
        balanced: bool = False,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        views: Callable[[Tensor, int], Tensor] | None = None,
        epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        if batch_size < 1 or (isinstance(image_size, int) and image_size < 1):
            raise ConfigError(f"data.batch_size={batch_size}, data.image_size={image_size}: both must be 1 or more")
        self.store = ResidentImages(images) if isinstance(images, Tensor) else images
        self.device = self.store.device
        self.labels, self.rows = labels, rows.cpu()
        self.batch_size = batch_size
        self.image_size = (lambda _: image_size) if isinstance(image_size, int) else image_size
        self.augment, self.shuffle, self.seed = augment, shuffle, seed
        self.targets, self.mix, self.balanced = targets, mix if mix is not None and mix.mixes else None, balanced
        self.rank, self.world_size, self.epoch = rank, world_size, epoch
        self.views = views or resample
        self._plan: Plan | None = None
        self._start = self._done = 0

    @property
    def global_batch_size(self) -> int:
        """Images a training step over all ranks; all images where the split is smaller than that."""
        return min(self.batch_size * self.world_size, len(self.rows))

    def __len__(self) -> int:
        if self.shuffle:
            return len(self.rows) // self.global_batch_size
        mine = len(range(self.rank, len(self.rows), self.world_size))
        return -(-mine // self.batch_size)

    def batch(self, epoch: int, step: int) -> Batch:
        """The batch of a step, made anew."""
        plan = self._planned(epoch)
        chosen = self._chosen(step)
        return self._made(self.store.read(plan.order[chosen]), plan, chosen)

    def __iter__(self) -> Iterator[Batch]:
        start, self._start = self._start, 0
        epoch = self.epoch()
        for step, batch in enumerate(self._batches(epoch, range(start, len(self))), start):
            self._done = step + 1
            yield batch

    def _batches(self, epoch: int, steps: range) -> Iterator[Batch]:
        if not self.store.prefetches:
            for step in steps:
                yield self.batch(epoch, step)
            return
        plan = self._planned(epoch)
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="images") as readers:
            ahead: deque[Any] = deque()
            try:
                for chosen in map(self._chosen, steps):
                    ahead.append((readers.submit(self.store.read, plan.order[chosen]), chosen))
                    if len(ahead) > PREFETCH_BATCHES:
                        reading, chosen = ahead.popleft()
                        yield self._made(reading.result(), plan, chosen)
                for reading, chosen in ahead:
                    yield self._made(reading.result(), plan, chosen)
            finally:
                readers.shutdown(wait=False, cancel_futures=True)

    def _chosen(self, step: int) -> slice:
        """The positions of the epoch that a step visits on this rank."""
        if self.shuffle:
            start = step * self.global_batch_size
            return slice(start + self.rank, start + self.global_batch_size, self.world_size)
        start = self.rank + step * self.batch_size * self.world_size
        return slice(start, start + self.batch_size * self.world_size, self.world_size)

    def _made(self, images: Tensor, plan: Plan, chosen: slice) -> Batch:
        images, rows = self.store.to_device(images), plan.rows[chosen]
        size = self.image_size(plan.epoch)
        if self.augment is None or plan.augment is None:
            faces = self.views(images, size)
        else:
            faces = self.augment(images, size, plan.augment[chosen])
        labels = self.labels[rows]
        targets = labels if self.targets is None else self.targets[rows]
        if self.mix is not None and plan.mix is not None:
            faces, targets = self.mix(faces, targets, plan.mix[chosen])
        return Batch(faces, labels, rows, targets)

    def state_dict(self) -> dict[str, Any]:
        """The position within the epoch; Lightning keeps it in checkpoints."""
        return {"step": self._done % max(len(self), 1)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._start = self._done = state["step"]

    def _planned(self, epoch: int) -> Plan:
        """Order of the epoch, and the choices at each of its positions, on the device."""
        if not self.shuffle:
            epoch = 0
        if self._plan is None or self._plan.epoch != epoch:
            order, augment, mix = self.rows, None, None
            if self.shuffle:
                generator = epoch_generator(self.seed, epoch)
                order = self.rows[self._order(generator)]
                if self.augment is not None:
                    augment = self.augment.draw(len(order), generator).to(self.device)
                if self.mix is not None:
                    mix = self.mix.draw(len(order), np.random.default_rng([self.seed, epoch, 1])).to(self.device)
            rows = order.to(self.device)  # reading from disk wants them where they are
            self._plan = Plan(epoch, order if self.store.prefetches else rows, rows, augment, mix)
        return self._plan

    def _order(self, generator: torch.Generator) -> Tensor:
        """Positions in `rows` as a training epoch visits them, int64 [n]."""
        count = len(self.rows)
        if not self.balanced:
            return torch.randperm(count, generator=generator)
        labels = self.labels.cpu()[self.rows]
        weights = 1 / torch.bincount(labels).clamp(min=1)[labels]
        return torch.multinomial(weights, count, replacement=True, generator=generator)


def class_shares(labels: Tensor, classes: int) -> Tensor:
    """Labels, int64 [N], as targets, float [N, K]: all of an image's share is its class's."""
    return F.one_hot(labels.clamp(min=0), classes).float()


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """A generator well separated from those of all other seeds and epochs."""
    state = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state)
