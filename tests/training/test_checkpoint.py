"""A checkpoint on disk is whole: the new one or the one before."""

import os
import signal

import pytest
import torch

from fer.errors import CheckpointError
from fer.models.weights import FORMAT
from fer.training.checkpoint import AtomicCheckpointIO

resource = pytest.importorskip("resource")


def checkpoint(value: float, size: int = 10) -> dict:
    return {
        "fer": {"format": FORMAT, "network": {"backbone": "test_resnet"}, "classes": ["happy"], "image_size": 32},
        "state_dict": {"mean": torch.zeros(1), "std": torch.ones(1), "weight": torch.full((size,), value)},
    }


class Fails:
    """Cannot be pickled: what a hyperparameter that holds an open file does."""

    def __reduce__(self):
        raise RuntimeError("cannot be pickled")


def test_what_is_saved_is_loaded(tmp_path):
    io, path = AtomicCheckpointIO(), tmp_path / "new" / "folder" / "last.ckpt"
    io.save_checkpoint(checkpoint(3.0), path)
    assert torch.equal(io.load_checkpoint(path)["state_dict"]["weight"], torch.full((10,), 3.0))
    assert os.listdir(path.parent) == ["last.ckpt"]


def test_the_newer_one_takes_the_place_of_the_older(tmp_path):
    io, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    for value in (1.0, 2.0):
        io.save_checkpoint(checkpoint(value), path)
    assert io.load_checkpoint(path)["state_dict"]["weight"][0] == 2.0
    io.remove_checkpoint(path)
    assert os.listdir(tmp_path) == []


def test_a_failure_while_writing_leaves_the_one_before(tmp_path):
    io, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    io.save_checkpoint(checkpoint(1.0), path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="cannot be pickled"):
        io.save_checkpoint({**checkpoint(2.0), "callbacks": Fails()}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_full_disk_is_one_line_and_leaves_the_one_before(tmp_path):
    """The disk is full after 100 kB: a limit of this process stands for it."""
    io, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    io.save_checkpoint(checkpoint(1.0), path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointError) as error:
            io.save_checkpoint(checkpoint(2.0, size=1_000_000), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(error.value)
    assert "the one before it is whole" in str(error.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_foreign_file_is_not_resumed_from(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(CheckpointError, match="no checkpoint of this project"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "foreign.ckpt")
