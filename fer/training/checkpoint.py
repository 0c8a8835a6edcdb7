"""Checkpoints that are whole: written beside their target, flushed to disk, renamed."""

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from fer.errors import CheckpointError
from fer.files import replacing
from fer.model.weights import read_checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own is atomic only where temporary files and checkpoints share a file system (#21253)."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        try:
            with replacing(Path(path), "wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            reason = error if isinstance(error, OSError) else error.__context__  # torch closes its archive over it
            if not isinstance(reason, OSError):
                raise
            raise CheckpointError(f"{path} could not be written ({reason}); the one before it is whole") from error

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(path)
