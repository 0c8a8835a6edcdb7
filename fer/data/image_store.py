"""Where the images of a pack are while training runs: whole on the device, or mapped from disk."""

import logging
import mmap
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from fer import cores

log = logging.getLogger(__name__)

Residency = Literal["auto", "device", "mapped"]
RESIDENCIES = ("auto", "device", "mapped")
MEMORY_SHARE = 0.5  # of a device's free memory that images may take: the network needs the rest


class ImageStore(Protocol):
    """Images by row, in two steps, so that the slow one can run ahead in a thread."""

    device: torch.device
    prefetches: bool  # whether `read` is worth running ahead

    def read(self, rows: Tensor) -> Tensor:
        """The images at `rows`, int64 [B]: uint8 [B, C, H, W], wherever reading leaves them."""
        ...

    def to_device(self, images: Tensor) -> Tensor:
        """What `read` gave, uint8 [B, C, H, W], on the device."""
        ...


class ResidentImages:
    """All images, uint8 [N, C, H, W], on the device: a batch is one gather."""

    prefetches = False

    def __init__(self, images: Tensor) -> None:
        self.images, self.device = images, images.device

    def read(self, rows: Tensor) -> Tensor:
        return self.images[rows.to(self.device)]

    def to_device(self, images: Tensor) -> Tensor:
        return images


class MappedImages:
    """Images left on disk; a batch is read into pinned memory, whose copy the host does not wait for.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3], memory-mapped.
        device: where batches go.
    """

    prefetches = True

    def __init__(self, images: np.ndarray, device: torch.device) -> None:
        self.images, self.device = images, device
        mapping = getattr(images, "_mmap", None)
        if mapping is not None and hasattr(mmap, "MADV_RANDOM"):
            mapping.madvise(mmap.MADV_RANDOM)  # reading ahead would fetch images that no batch asked for

    def read(self, rows: Tensor) -> Tensor:
        wanted = rows.cpu().numpy()
        order = np.argsort(wanted, kind="stable")  # in the order of the file
        shape = (len(wanted), *self.images.shape[1:])
        batch = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        into = batch.numpy()
        for position in order:
            into[position] = self.images[wanted[position]]
        return _channels_first(batch)

    def to_device(self, images: Tensor) -> Tensor:
        return images.to(self.device, non_blocking=True)


def open_store(images: np.ndarray, device: torch.device, residency: Residency = "auto") -> ImageStore:
    """Put images on the device if they take no more than half of its free memory, else leave them on disk.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3].
        device: where batches go.
        residency: `device` or `mapped` decide it by hand.
    """
    if residency == "auto":
        free = free_memory_bytes(device)
        fits = free is None or images.nbytes <= MEMORY_SHARE * free
        residency = "device" if fits else "mapped"
        if not fits:
            size, room = images.nbytes / 2**30, (free or 0) / 2**30
            log.info("%.1f GiB of images stay on disk: %.1f GiB are free on %s", size, room, device.type)
    if residency == "mapped":
        return MappedImages(images, device)
    return ResidentImages(_channels_first(torch.from_numpy(np.array(images))).contiguous().to(device))


def free_memory_bytes(device: torch.device) -> int | None:
    """Memory of a device that nothing holds; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return cores.free_memory_bytes()


def _channels_first(images: Tensor) -> Tensor:
    """[N, H, W] or [N, H, W, C] -> [N, C, H, W]."""
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
