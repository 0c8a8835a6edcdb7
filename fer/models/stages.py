"""A network as a row of stages from input to head: freezing and layer-wise learning rates go by stage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from timm.models import group_parameters
from torch import nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class Stage:
    """A run of layers that is frozen or trained together."""

    name: str
    parameters: tuple[str, ...]  # names within the network


def network_stages(network: nn.Module) -> list[Stage]:
    """The stages of a network in the order of the forward pass; the last one is the head.

    timm networks name their coarse groups themselves (a ResNet: stem, layer1 to layer4, head). For any other
    module each direct child with parameters is a stage.
    """
    matcher = _coarse_matcher(network)
    if matcher is not None:
        groups = group_parameters(network, matcher)
        members = [groups[key] for key in sorted(groups)]
    else:
        by_child: dict[str, list[str]] = {}
        for name, _ in network.named_parameters():
            by_child.setdefault(name.split(".")[0], []).append(name)
        members = list(by_child.values())
    return [Stage(name, tuple(names)) for name, names in zip(_stage_names(members), members, strict=True)]


def _coarse_matcher(network: nn.Module) -> dict[str, Any] | None:
    matcher: Any = getattr(network, "group_matcher", None)
    try:
        return None if matcher is None else matcher(coarse=True)
    except AssertionError:  # timm's RDNet knows fine groups only
        return None


def _stage_names(members: Sequence[Sequence[str]]) -> list[str]:
    """`stem`, `head`, and between them the shortest path that only the stage's own layers share."""
    stage_names: list[str] = []
    for index, names in enumerate(members):
        others = [name for stage in members if stage is not names for name in stage]
        path = _own_path(names, others)
        name = "_".join(path)
        if index == len(members) - 1:
            name = "head"
        elif index == 0 and not name.startswith(("layer", "block", "stage")):
            name = "stem"
        elif not name or name in ("head", "stem", *stage_names):
            name = f"stage{index}"
        stage_names.append(name)
    return stage_names


def _own_path(names: Sequence[str], others: Sequence[str]) -> list[str]:
    shared = _common_prefix([name.split(".") for name in names])
    for length in range(1, len(shared) + 1):
        start = ".".join(shared[:length]) + "."
        if not any(name.startswith(start) for name in others):
            return shared[:length]
    return []


def _common_prefix(paths: Sequence[Sequence[str]]) -> list[str]:
    prefix = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        prefix.append(parts[0])
    return prefix


def parameter_groups(network: nn.Module, stages: Sequence[Stage] | None = None) -> list[dict[str, Any]]:
    """Optimizer groups: two per stage, with weight decay and without it (biases, norms: all 1-d tensors).

    Each group carries its `stage` and a unique `name`. All parameters are in, frozen or not: groups that come
    later break schedulers and resumed runs.
    """
    parameters = dict(network.named_parameters())
    groups: list[dict[str, Any]] = []
    for stage in stages or network_stages(network):
        members = [parameters[name] for name in stage.parameters]
        decayed = [parameter for parameter in members if parameter.ndim > 1]
        plain = [parameter for parameter in members if parameter.ndim <= 1]
        if decayed:
            groups.append({"params": decayed, "stage": stage.name, "name": stage.name})
        if plain:
            groups.append({"params": plain, "stage": stage.name, "name": f"{stage.name}_no_decay", "weight_decay": 0.0})
    return groups


def build_optimizer(
    network: nn.Module,
    stages: Sequence[Stage],
    optimizer: Callable[..., Optimizer],
    layerwise_lr: Callable[[float, int], list[float]],
    **options: Any,
) -> Optimizer:
    """An optimizer over all stages, each with its own learning rate.

    Args:
        network: what is trained.
        stages: of the network.
        optimizer: parameter groups -> optimizer; its learning rate is the head's.
        layerwise_lr: (learning rate of the head, number of stages) -> learning rate of each stage.
        options: further arguments of the optimizer.
    """
    built = optimizer(parameter_groups(network, stages), **options)
    set_stage_lrs(built, stages, layerwise_lr(float(built.defaults["lr"]), len(stages)))
    return built


def set_stage_lrs(optimizer: Optimizer, stages: Sequence[Stage], lrs: Sequence[float]) -> None:
    """Give the groups of each stage its learning rate."""
    lr_of = dict(zip((stage.name for stage in stages), lrs, strict=True))
    for group in optimizer.param_groups:
        group["lr"] = lr_of[group["stage"]]
