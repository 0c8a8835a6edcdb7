"""Models that `export.py` wrote as ONNX, read back and asked without PyTorch."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from fer.cores import math_threads
from fer.errors import CheckpointError, ConfigError
from fer.models.weight_files import why_unreadable

NOVELTY = "novelty"  # the second output, which files of before do not have


class OnnxModel:
    """An exported model in onnxruntime, on the CPU; normalisation, temperature and softmax are in the file.

    Args:
        path: of the file.
        threads: that it computes with; None takes `fer.cores.math_threads`.

    Raises:
        ConfigError: onnxruntime is not installed.
        CheckpointError: missing, damaged, or not written by `export.py`.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        if not path.exists():
            raise CheckpointError(f"no checkpoint at {path}")
        try:
            self.session = onnx_session(path, threads)
        except ImportError as error:
            raise ConfigError(f"{path} needs onnxruntime: pip install -e '.[export]'") from error
        except Exception as error:  # onnxruntime's own kinds
            raise CheckpointError(f"{path} {why_unreadable(path, error, program=True)}") from error
        self.tells_novelty = NOVELTY in [output.name for output in self.session.get_outputs()]
        self.facts: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        try:
            self.backbone = self.facts["backbone"]
            self.classes = [str(name) for name in json.loads(self.facts["classes"])]
            self.image_size, self.channels = int(self.facts["image_size"]), int(self.facts["channels"])
            self.stored_size: int | None = json.loads(self.facts.get("stored_size", "null"))
            self.framing: dict[str, Any] | None = json.loads(self.facts.get("framing", "null"))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is no ONNX model of export.py, or was edited ({error!r})") from error

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Of faces, float32 [B, C, S, S] in [0, 1]: probabilities, float32 [B, K]; novelty, float32 [B], if known."""
        found = self.session.run(None, {self.session.get_inputs()[0].name: np.ascontiguousarray(images)})
        return found[0], found[1] if self.tells_novelty else None


def onnx_session(model: Path | bytes, threads: int | None = None) -> Any:
    """A session of onnxruntime on the CPU, of a file or its content; it raises its own kinds of errors."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or math_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
