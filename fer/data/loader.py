"""Batches made on the device that trains, from images that stand there or are mapped from disk: no decoding."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fer.data.augment import Augment, resample
from fer.data.store import ImageStore, ResidentImages
from fer.errors import ConfigError

AHEAD = 3  # batches read before they are asked for, where images come from disk


class Batch(NamedTuple):
    """Faces ready for the network, with their classes and their rows in the pack."""

    images: Tensor  # float [B, C, S, S] in [0, 1]
    labels: Tensor  # int64 [B]
    rows: Tensor  # int64 [B]


class DeviceLoader:
    """Iterates over uint8 images; all but reading them happens on the device.

    A training epoch visits the images in an order drawn from (seed, epoch) and leaves a last short batch out;
    augmentation comes from the same source, a row of choices for each position of the epoch. So `batch(epoch,
    step)` is a pure function: any step can be made again. Evaluation goes through all images in order.

    With several ranks each takes every `world_size`-th image of the global batch (training: `world_size *
    batch_size` images a step, as many steps on each rank) or of the split (evaluation: each image once).

    Args:
        images: uint8 [N, C, H, W], on the device; or where else they are.
        labels: int64 [N], on the device.
        rows: the images to visit, int64 [n].
        batch_size: images a step on this rank.
        image_size: side S of the batches' images, pixels.
        augment: random changes; None only resamples.
        shuffle: whether this is training.
        epoch: tells the current epoch.

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
        image_size: int,
        augment: Augment | None = None,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        if batch_size < 1 or image_size < 1:
            raise ConfigError(f"data.batch_size={batch_size}, data.image_size={image_size}: both must be 1 or more")
        self.store = ResidentImages(images) if isinstance(images, Tensor) else images
        self.device = self.store.device
        self.labels, self.rows = labels, rows.cpu()
        self.batch_size, self.image_size = batch_size, image_size
        self.augment, self.shuffle, self.seed = augment, shuffle, seed
        self.rank, self.world_size, self.epoch = rank, world_size, epoch
        self._plan: tuple[int, Tensor, Tensor | None] | None = None
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
        rows, choices = self._chosen(epoch, step)
        return self._made(self.store.read(rows), rows, choices)

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
        plans = (self._chosen(epoch, step) for step in steps)
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="images") as readers:
            ahead: deque[Any] = deque()
            try:
                for rows, choices in plans:
                    ahead.append((readers.submit(self.store.read, rows), rows, choices))
                    if len(ahead) > AHEAD:
                        reading, rows, choices = ahead.popleft()
                        yield self._made(reading.result(), rows, choices)
                for reading, rows, choices in ahead:
                    yield self._made(reading.result(), rows, choices)
            finally:
                readers.shutdown(wait=False, cancel_futures=True)

    def _chosen(self, epoch: int, step: int) -> tuple[Tensor, Tensor | None]:
        """The rows of a step, and the augmentation's choices for them."""
        order, choices = self._planned(epoch)
        if self.shuffle:
            start = step * self.global_batch_size
            chosen = slice(start + self.rank, start + self.global_batch_size, self.world_size)
        else:
            start = self.rank + step * self.batch_size * self.world_size
            chosen = slice(start, start + self.batch_size * self.world_size, self.world_size)
        return order[chosen], None if choices is None else choices[chosen]

    def _made(self, images: Tensor, rows: Tensor, choices: Tensor | None) -> Batch:
        images, rows = self.store.to_device(images), rows.to(self.device)
        if self.augment is None or choices is None:
            return Batch(resample(images, self.image_size), self.labels[rows], rows)
        return Batch(self.augment(images, self.image_size, choices), self.labels[rows], rows)

    def state_dict(self) -> dict[str, Any]:
        """The position within the epoch; Lightning keeps it in checkpoints."""
        return {"step": self._done % max(len(self), 1)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._start = self._done = state["step"]

    def _planned(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """Order of the epoch, and the augmentation's choices at each of its positions, on the device."""
        if not self.shuffle:
            epoch = 0
        if self._plan is None or self._plan[0] != epoch:
            order, choices = self.rows, None
            if self.shuffle:
                generator = epoch_generator(self.seed, epoch)
                order = self.rows[torch.randperm(len(self.rows), generator=generator)]
                if self.augment is not None:
                    choices = self.augment.draw(len(order), generator).to(self.device)
            if not self.store.prefetches:  # reading from disk wants the rows where they are
                order = order.to(self.device)
            self._plan = (epoch, order, choices)
        return self._plan[1], self._plan[2]


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """A generator well separated from those of all other seeds and epochs."""
    state = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state)
