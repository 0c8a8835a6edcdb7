"""Where weights come from: the hub or its cache, and checkpoints of ours. Nothing is ever unpickled."""

import json
import logging
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import timm
import torch
from torch import Tensor, nn

from fer.errors import CheckpointError, WeightsError
from fer.models.shipped import located
from fer.models.weight_files import (
    EXPORTED,
    check_no_program,
    exported_facts,
    exported_file,
    in_one_line,
    why_unreadable,
)
from fer.runs.folder import RunFolder
from fer.runs.renamed import translated_target

log = logging.getLogger(__name__)

HUB_PATIENCE = 1.5  # seconds to reach the hub before saying so; its own client retries for most of a minute
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
FORMAT = 1


def hub_file(backbone: str) -> Path:
    """The file of timm's pretrained weights for a backbone, from the hub's local cache or downloaded into it.

    Raises:
        WeightsError: timm has none, or neither the cache nor the network does.
    """
    import huggingface_hub

    config = timm.get_pretrained_cfg(backbone)
    if config is None or not config.hf_hub_id:
        found = f"download {config.url}, then model.weights=PATH" if config and config.url else "model.weights=PATH"
        raise WeightsError(f"the hub has no pretrained weights for {backbone}; use {found}, or model.weights=none")
    repository = config.hf_hub_id
    names = (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHT_FILES
    for name in names:
        cached = huggingface_hub.try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    endpoint = huggingface_hub.constants.ENDPOINT
    if huggingface_hub.constants.HF_HUB_OFFLINE or not _reachable(endpoint):
        raise WeightsError(_no_weights(backbone, repository, f"{endpoint} cannot be reached"))
    reason: Exception | None = None
    for name in names:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name))
        except Exception as error:  # the hub's own kinds, and those of whichever HTTP client its version uses
            reason = error
            absent = isinstance(error, huggingface_hub.errors.EntryNotFoundError)
            if not absent or isinstance(error, huggingface_hub.errors.LocalEntryNotFoundError):
                break  # no connection: the other name would cost the same wait
    raise WeightsError(_no_weights(backbone, repository, f"{endpoint}: {in_one_line(reason)}")) from reason


def _no_weights(backbone: str, repository: str, reason: str) -> str:
    return (
        f"pretrained weights of {backbone} are not in the local hub cache, and {reason}; three ways out: (1) go "
        f"online once, or copy the cached {repository} here; (2) model.weights=PATH to a .safetensors or .pth file; "
        "(3) model.weights=none to train from random weights"
    )


def _reachable(endpoint: str) -> bool:
    """Whether a connection to the hub, or to the proxy on the way, opens in time (name look-up included)."""
    opened = threading.Event()

    def connect() -> None:
        url, proxies = urlsplit(endpoint), getproxies()
        proxy = None if proxy_bypass(url.hostname or "") else proxies.get(url.scheme) or proxies.get("all")
        target = urlsplit(proxy if "//" in proxy else f"//{proxy}") if proxy else url
        port = target.port or (443 if target.scheme == "https" else 80)
        try:
            with socket.create_connection((target.hostname or "", port), timeout=HUB_PATIENCE):
                opened.set()
        except OSError:
            pass

    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(HUB_PATIENCE)
    return opened.is_set()


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """A checkpoint of ours: tensors and plain values.

    Args:
        path: the file, a run folder (its best checkpoint), a safetensors file of `export.py`, or the word of shipped
            weights.

    Raises:
        CheckpointError: missing, damaged, holding code, or not of this project.
        WeightsError: shipped weights that are missing or damaged.
    """
    path = exported_file(located(path))
    if path.is_dir():
        path = RunFolder(path).best_checkpoint
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}")
    check_no_program(path)
    if path.suffix == EXPORTED:
        return exported_checkpoint(path.read_bytes(), str(path))
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch, zipfile or the restricted unpickler say of a foreign file
        raise CheckpointError(f"{path} {why_unreadable(path, error)}") from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("fer"), dict):
        raise CheckpointError(
            f"{path} is no checkpoint of this project; to train from weights in timm's format, name them .pth"
        )
    if checkpoint["fer"].get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {checkpoint['fer'].get('format')}; this version reads {FORMAT}")
    if not _is_complete(checkpoint):
        raise CheckpointError(f"{path} lacks what a classifier is rebuilt from: it is damaged, or was edited")
    network = checkpoint["fer"]["network"]
    if "_target_" in network:
        network["_target_"] = translated_target(network["_target_"])
    return checkpoint


def exported_checkpoint(content: bytes, name: str) -> dict[str, Any]:
    """What `export.py format=safetensors` wrote, as a checkpoint in fp32; `exported` of it is the file's metadata.

    Args:
        content: of the file.
        name: of the file, for errors.

    Raises:
        CheckpointError: foreign or damaged.
    """
    from safetensors.torch import load

    try:
        exported = exported_facts(content)
        state = {f"network.{key}": _fp32(value) for key, value in load(content).items()}
        for key in ("mean", "std"):
            state[key] = torch.tensor(json.loads(exported[key])).view(-1, 1, 1)
        facts = {key: json.loads(exported[key]) for key in ("network", "classes", "image_size")}
        optional = {key: json.loads(exported.get(key, "null")) for key in ("stored_size", "framing")}
        checkpoint = {"fer": {"format": FORMAT, **facts, **optional}, "state_dict": state, "exported": exported}
        float(exported["temperature"])
    except Exception as error:  # safetensors and json raise many kinds for a foreign or damaged file
        raise CheckpointError(f"{name} is no safetensors file of a model exported by export.py") from error
    if not _is_complete(checkpoint):
        raise CheckpointError(f"{name} lacks what a classifier is rebuilt from: it is damaged, or was edited")
    return checkpoint


def _fp32(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _is_complete(checkpoint: dict[str, Any]) -> bool:
    facts, state = checkpoint["fer"], checkpoint.get("state_dict")
    return (
        isinstance(facts.get("network"), dict)
        and isinstance(facts.get("classes"), list)
        and isinstance(facts.get("image_size"), int)
        and isinstance(facts.get("stored_size"), int | None)
        and isinstance(facts.get("framing"), dict | None)
        and isinstance(state, dict)
        and {"mean", "std"} <= state.keys()
        and all(isinstance(value, Tensor) for value in state.values())
    )


def load_own_weights(network: nn.Module, path: Path, backbone: str, classes: Sequence[str] | None = None) -> None:
    """Load a checkpoint of ours into a network; a head for other classes, or of another shape, stays random.

    Raises:
        CheckpointError: see `read_checkpoint`.
        WeightsError: the checkpoint is of another architecture.
    """
    checkpoint = read_checkpoint(path)
    state = network_state(checkpoint)
    check_weights(state, path)
    fresh = network.state_dict()
    other_classes = classes is not None and list(classes) != checkpoint["fer"]["classes"]
    head = tuple(f"{name}." for name in _classifier_names(network))
    wanted = {
        key: value
        for key, value in state.items()
        if not (key.startswith(head) and key in fresh and (other_classes or fresh[key].shape != value.shape))
    }
    missing = [key for key in fresh if key not in wanted and not key.startswith(head)]
    foreign = [key for key, value in wanted.items() if key not in fresh or fresh[key].shape != value.shape]
    if missing or foreign:
        raise WeightsError(
            f"{path} holds {checkpoint['fer']['network'].get('backbone', 'another network')}, which does not fit "
            f"model.backbone={backbone} (first difference: {(missing + foreign)[0]})"
        )
    network.load_state_dict(wanted, strict=False)
    log.info("weights from %s%s", path, "" if len(wanted) == len(state) else "; the head is new")


def check_weights(state: dict[str, Any], path: Path) -> None:
    """Raises WeightsError where a file that was read holds no weights, or some that are no real numbers."""
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"{path} holds no weights: give the file of a model's state_dict()")
    if broken := next((key for key, value in tensors.items() if not torch.isfinite(value).all()), None):
        raise WeightsError(
            f"{path} holds weights that are not finite ({broken}): its training had failed; take another"
        )
    matrices = {key: value for key, value in tensors.items() if value.ndim > 1}
    integer = next((key for key, value in matrices.items() if not value.is_floating_point()), None)
    if integer and integer.endswith("weight"):
        raise WeightsError(
            f"{path} holds weights of {str(matrices[integer].dtype).removeprefix('torch.')} ({integer}), perhaps of a "
            "quantized network: those in floating point are wanted"
        )
    if matrices and not any(value.any() for value in matrices.values()):
        raise WeightsError(f"{path} holds zeros alone: a download that was not finished, perhaps; download it again")


def network_state(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The network's own entries of a checkpoint's `state_dict`, without their prefix."""
    prefix = "network."
    state = checkpoint["state_dict"]
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _classifier_names(network: nn.Module) -> tuple[str, ...]:
    names = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)
