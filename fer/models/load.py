"""Classifiers back from their checkpoints, without any config and without running what a checkpoint names."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import nn

from fer.errors import CheckpointError, FERError
from fer.models.classifier import ExpressionClassifier
from fer.models.network import OWN_BUILDER, build_network, timm_network
from fer.models.weights import read_checkpoint
from fer.runs.renamed import translated_target


def load_classifier(path: Path | str, network: nn.Module | None = None) -> ExpressionClassifier:
    """Rebuild a classifier from a checkpoint or run folder of this project, on the CPU, in evaluation mode.

    Args:
        path: the checkpoint, or a run folder (its best one).
        network: the network to load into, where it is not one of timm's: a checkpoint is never allowed to name
            code that we then run.

    Raises:
        CheckpointError: missing, damaged, foreign, or of a network that cannot be rebuilt.
    """
    return classifier_of(read_checkpoint(path), path, network)


def classifier_of(
    checkpoint: dict[str, Any], path: Path | str, network: nn.Module | None = None
) -> ExpressionClassifier:
    """The classifier of a checkpoint that was read; otherwise as `load_classifier`."""
    facts, state = checkpoint["fer"], checkpoint["state_dict"]
    spec = facts["network"]
    if network is None:
        network = rebuild_network(spec, path)
    mean, std = (state[name].flatten().tolist() for name in ("mean", "std"))
    classifier = ExpressionClassifier(
        network,
        network_spec=spec,
        classes=facts["classes"],
        image_size=facts["image_size"],
        stored_size=facts.get("stored_size"),
        framing=facts.get("framing"),
        mean=mean,
        std=std,
    )
    try:
        classifier.load_state_dict({key: value for key, value in state.items() if not key.startswith("loss.")})
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit the network it names ({spec.get('backbone')})") from error
    return classifier.eval()


def build_own_network(config: DictConfig, path: Path | str) -> nn.Module:
    """A network of one's own, with the classes and channels of a checkpoint and random weights.

    Args:
        config: of the network, with `_target_`.
        path: of the checkpoint, or of a run folder (its best one).

    Raises:
        CheckpointError: see `read_checkpoint`.
        ConfigError: the network cannot be built.
    """
    checkpoint = read_checkpoint(path)
    channels = len(checkpoint["state_dict"]["mean"])
    return build_network(config, checkpoint["fer"]["classes"], channels, pretrained=False)


def rebuild_network(spec: dict[str, Any], path: Path | str) -> nn.Module:
    """The network that plain constructor arguments describe, with random weights.

    Args:
        spec: arguments of `timm_network`, with `_target_`.
        path: where they were read, for errors.

    Raises:
        CheckpointError: another builder, arguments that are no plain values, a network that cannot be built.
    """
    if translated_target(str(spec.get("_target_"))) != OWN_BUILDER:
        raise CheckpointError(f"{path} holds a {spec.get('_target_')}: build that network and pass it in")
    arguments = {key: value for key, value in spec.items() if key not in ("_target_", "weights")}
    for key, value in arguments.items():
        if not isinstance(value, str | int | float | None):
            raise CheckpointError(f"{path} gives the network {key}={value}, which is no plain value")
    try:
        return timm_network(**arguments, weights="none")
    except (TypeError, ValueError, RuntimeError, AttributeError, FERError) as error:
        raise CheckpointError(f"{path} names a network that cannot be built: {error}") from error
