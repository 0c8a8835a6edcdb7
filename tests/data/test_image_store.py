"""Images from disk are the images of memory, and never more of them than a few batches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from fer.data.augment import Augment
from fer.data.image_store import MappedImages, ResidentImages, free_memory_bytes, open_store
from fer.data.loader import DeviceLoader
from fer.training.train import train

CPU = torch.device("cpu")


def images_on_disk(folder: Path, shape: tuple[int, ...]) -> np.ndarray:
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    return np.load(folder / "images.npy", mmap_mode="r")


@pytest.mark.parametrize("shape", [(23, 20, 20), (23, 20, 24, 3)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_mapped_batches_equal_resident_ones(shape: tuple[int, ...], shuffle: bool, tmp_path: Path) -> None:
    images = images_on_disk(tmp_path, shape)
    augment = Augment(flip=0.5, rotation=10) if shuffle else None
    batches = [
        list(
            DeviceLoader(
                open_store(images, CPU, residency),
                torch.arange(23),
                torch.arange(1, 23),
                batch_size=4,
                image_size=16,
                augment=augment,
                shuffle=shuffle,
                epoch=lambda: 3,
            )
        )
        for residency in ("device", "mapped")
    ]
    assert len(batches[0]) == len(batches[1]) == (5 if shuffle else 6)
    for resident, mapped in zip(*batches, strict=True):
        assert all(torch.equal(here, there) for here, there in zip(resident, mapped, strict=True))
        assert mapped.images.shape[1:] == (1 if len(shape) == 3 else 3, 16, 16)


def test_a_mapped_loader_goes_on_within_an_epoch(tmp_path: Path) -> None:
    images = images_on_disk(tmp_path, (40, 8, 8))

    def loader() -> DeviceLoader:
        store = MappedImages(images, CPU)
        return DeviceLoader(store, torch.arange(40), torch.arange(40), batch_size=4, image_size=8, shuffle=True)

    whole = [batch.rows for batch in loader()]
    first = loader()
    stopped = iter(first)
    seen = [next(stopped).rows for _ in range(3)]
    state = first.state_dict()
    stopped.close()
    again = loader()
    again.load_state_dict(state)
    assert state == {"step": 3}
    assert torch.equal(torch.cat([*seen, *(batch.rows for batch in again)]), torch.cat(whole))


def test_what_exceeds_half_of_the_free_memory_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = images_on_disk(tmp_path, (10, 8, 8))
    for free, kind in ((2 * images.nbytes, ResidentImages), (2 * images.nbytes - 1, MappedImages)):
        monkeypatch.setattr("fer.data.image_store.free_memory_bytes", lambda _, free=free: free)
        assert isinstance(open_store(images, CPU), kind)
    assert isinstance(open_store(images, CPU, "device"), ResidentImages)


def test_free_memory_is_told() -> None:
    assert 2**20 < (free_memory_bytes(CPU) or 0) < 2**50


def test_an_unreadable_batch_ends_the_epoch_with_its_error() -> None:
    store = MappedImages(np.zeros((4, 8, 8), np.uint8), CPU)
    with pytest.raises(IndexError):
        list(DeviceLoader(store, torch.arange(9), torch.arange(9), batch_size=2, image_size=8))


def test_a_mapped_run_equals_a_resident_one(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    short = ("trainer.max_epochs=1", "trainer.limit_train_batches=3")
    results = [
        train(tiny_config(*short, f"data.residency={residency}"), tmp_path / residency)
        for residency in ("device", "mapped")
    ]
    assert results[0] is not None
    assert results[1] is not None
    assert results[0]["test/nll"] == results[1]["test/nll"]
