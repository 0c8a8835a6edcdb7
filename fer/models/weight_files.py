"""Files of weights and finished programs: what each is, and what `export.py` wrote into it; without PyTorch."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer.data.file_kinds import SNIFFED, is_archive, is_text, not_itself
from fer.errors import CheckpointError
from fer.runs.folder import RunFolder

EXPORTED, ONNX = ".safetensors", ".onnx"
PROGRAMS = {  # exports that are no weights
    ONNX: "a finished program (ONNX), which predicts, but can neither be trained nor exported again",
    ".pt2": "a finished program of torch.export, which may hold code and is not run here",
}


@dataclass(frozen=True)
class ExportedFacts:
    """What the metadata of an exported file say of a model, besides what rebuilds it."""

    temperature: float | None  # None where none was fitted
    data: dict[str, Any] | None  # arguments of its FERDataModule, or its name alone; None where they are unknown
    metrics: dict[str, Any]  # of the run; empty where they are unknown
    set_threshold: float | None  # of prediction sets; None where none was fitted

    @classmethod
    def read(cls, facts: Mapping[str, str], path: Path) -> "ExportedFacts":
        """From the metadata of a file.

        Raises:
            CheckpointError: damaged or edited.
        """
        try:
            data, metrics = (json.loads(facts.get(key, "null")) for key in ("data", "metrics"))
            temperature = float(facts["temperature"]) if facts.get("calibrated", "true") == "true" else None
            set_threshold = json.loads(facts.get("set_threshold", "null"))  # which older versions did not write
            set_threshold = None if set_threshold is None else float(set_threshold)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is damaged, or was edited ({error})") from error
        if not isinstance(data, dict):
            data = {"name": facts["trained_on"]} if "trained_on" in facts else None
        return cls(temperature, data, metrics if isinstance(metrics, dict) else {}, set_threshold)


def why_unreadable(path: Path, error: Exception, program: bool = False) -> str:
    """Why a file of weights cannot be read, as the rest of a sentence that begins with its name, and what to do.

    Args:
        path: of the file.
        error: of whatever tried to read it.
        program: whether it was to be read as a finished program, not as weights.
    """
    try:
        with path.open("rb") as file:
            head = file.read(SNIFFED)
    except OSError as missing:
        return f"cannot be read ({missing.strerror or missing})"
    if not head:
        return "is empty, so damaged: download it again"
    if what := not_itself(head):
        return f"is {what}; it holds no weights"
    if head.startswith(b"\x89HDF"):
        return "is an HDF5 file, as Keras writes: weights of PyTorch are wanted (.safetensors, .pth)"
    if path.suffix != ".safetensors" and head[8:9] == b"{" and not any(head[4:8]):  # a header and its length
        return "is a .safetensors file: name it so"
    if path.suffix.lower() in PROGRAMS and not program:
        return f"is {PROGRAMS[path.suffix.lower()]}"
    if head.startswith(b"PK") and _is_cut(path):
        return "is damaged or truncated: download it again"
    if is_archive(head) and not (head.startswith(b"PK") and _is_of_torch(path)):
        return _archive(path)
    if path.suffix == ".safetensors" and head.startswith((b"PK", b"\x80")):
        return "is no .safetensors file but one of torch.save: name it .pth"
    if is_text(head) and path.suffix != ".safetensors":
        return "is text, no weights: download it again"
    if "weights_only" in str(error) or "TorchScript" in str(error):
        return (
            "holds a whole model or other code, which is never loaded: save its weights alone, where it was made "
            "(torch.save(model.state_dict(), PATH)) and give that file"
        )
    return f"is damaged or no file of weights ({in_one_line(error)})"


def _archive(path: Path) -> str:
    if path.suffix == ".npz":
        return "holds arrays of NumPy: weights of PyTorch are wanted (.safetensors, .pth)"
    return "is an archive: unpack it and give the file of weights in it"


def _is_of_torch(path: Path) -> bool:
    """Whether a zip archive may be one as torch saves: weights, a model or a program in TorchScript."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith((".pkl", "/version", "/byteorder")) for name in archive.namelist())
    except Exception:  # zipfile raises many kinds for a damaged list of names, which torch did not read either
        return True


def _is_cut(path: Path) -> bool:
    """Whether the end of a zip archive, as which torch saves, is missing."""
    with path.open("rb") as file:
        try:
            return not zipfile.is_zipfile(file)
        except zipfile.BadZipFile:  # of an end that says nonsense
            return True


def exported_file(path: Path) -> Path:
    """The model within a folder that `export.py` wrote (a bundle, a hub folder); any other path as it is."""
    names = ("model.onnx", "model.safetensors") if path.is_dir() and not RunFolder(path).is_run() else ()
    return next((path / name for name in names if (path / name).is_file()), path)


def check_no_program(path: Path) -> None:
    """Raises CheckpointError for an export that is no weights."""
    if path.suffix in PROGRAMS:
        raise CheckpointError(f"{path} is {PROGRAMS[path.suffix]}; give the checkpoint that it was exported from")


def exported_facts(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file; empty where it has none.

    Raises:
        ValueError: this is no safetensors file.
    """
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header.get("__metadata__", {})


def is_of_ours(path: Path) -> bool:
    """Whether weights are a run folder, a checkpoint or an exported model of this project, not a file of timm's."""
    if path.is_dir() or path.suffix == ".ckpt":
        return True
    if path.suffix != EXPORTED:
        return False
    try:
        with open(path, "rb") as file:
            length = file.read(8)
            return "network" in exported_facts(length + file.read(int.from_bytes(length, "little")))
    except (OSError, ValueError, OverflowError, MemoryError):  # timm says what is wrong with it
        return False


def in_one_line(error: Exception | None) -> str:
    """What an error says."""
    return " ".join(str(error).split())[:300]
