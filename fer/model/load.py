"""Classifiers back from their checkpoints, without any config and without running what a checkpoint names."""

from pathlib import Path
from typing import Any

from torch import nn

from fer.errors import CheckpointError, FERError
from fer.model.classifier import ExpressionClassifier
from fer.model.network import timm_network
from fer.model.weights import read_checkpoint

OWN_BUILDER = "fer.model.network.timm_network"


def load_classifier(path: Path | str, network: nn.Module | None = None) -> ExpressionClassifier:
    """Rebuild a classifier from a checkpoint or run folder of this project, on the CPU, in evaluation mode.

    Args:
        path: the checkpoint, or a run folder (its best one).
        network: the network to load into, where it is not one of timm's: a checkpoint is never allowed to name
            code that we then run.

    Raises:
        CheckpointError: missing, damaged, foreign, or of a network that cannot be rebuilt.
    """
    checkpoint = read_checkpoint(path)
    facts, state = checkpoint["fer"], checkpoint["state_dict"]
    spec = facts["network"]
    if network is None:
        if spec.get("_target_") != OWN_BUILDER:
            raise CheckpointError(f"{path} holds a {spec.get('_target_')}: build that network and pass it in")
        network = _rebuild(spec, path)
    mean, std = (state[name].flatten().tolist() for name in ("mean", "std"))
    classifier = ExpressionClassifier(
        network,
        network_spec=spec,
        classes=facts["classes"],
        image_size=facts["image_size"],
        mean=mean,
        std=std,
    )
    try:
        classifier.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit the network it names ({spec.get('backbone')})") from error
    return classifier.eval()


def _rebuild(spec: dict[str, Any], path: Path | str) -> nn.Module:
    arguments = {key: value for key, value in spec.items() if key not in ("_target_", "weights")}
    for key, value in arguments.items():
        if not isinstance(value, str | int | float | None):
            raise CheckpointError(f"{path} gives the network {key}={value}, which is no plain value")
    try:
        return timm_network(**arguments, weights="none")
    except (TypeError, ValueError, RuntimeError, AttributeError, FERError) as error:
        raise CheckpointError(f"{path} names a network that cannot be built: {error}") from error
