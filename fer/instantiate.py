"""From config nodes to live objects."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf

from fer.errors import ConfigError


def build(node: DictConfig, name: str, **live: Any) -> Any:
    """Instantiate a node of the config.

    Args:
        node: with `_target_`; with `_partial_: true` the result is a partial of it.
        name: of the node, for errors.
        live: objects that the target gets as they are, uncopied, as far as it has parameters of these names. So a
            class of torch or of one's own takes what it knows, and no argument of ours.

    Raises:
        ConfigError: the target does not exist, or does not take what the config gives it.
    """
    try:
        target = get_method(node["_target_"])
        check_numbers(target, OmegaConf.to_container(node, resolve=True), name)  # type: ignore[arg-type]
        if node.get("_partial_"):
            return instantiate(node, _convert_="all")
        return instantiate(node, _partial_=True, _convert_="all")(**accepted(target, live))
    except _refusals() as error:
        raise ConfigError(f"{name}: {' '.join(str(error).split())}") from error


def _refusals() -> tuple[type[Exception], ...]:
    """What constructors raise for arguments that they do not take; asked for after an exception only."""
    from lightning_fabric.utilities.exceptions import MisconfigurationException  # heavy, where no network is trained

    return InstantiationException, MisconfigurationException, ImportError, TypeError, ValueError


def accepted(target: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those arguments that a target has parameters for; all of them where it takes any keyword."""
    try:
        parameters = inspect.signature(target).parameters
    except ValueError:  # written in C
        return {}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(arguments)
    return {key: value for key, value in arguments.items() if key in parameters}


def check_numbers(target: Callable[..., Any], arguments: Mapping[str, Any], name: str) -> None:
    """Refuse text where a constructor's annotations ask for a number: Hydra takes any word for any value.

    Raises:
        ConfigError: naming the key and the value.
    """
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):  # annotations that cannot be evaluated
        return
    for key, value in arguments.items():
        allowed = get_args(hints.get(key)) or (hints.get(key),)
        if isinstance(value, str) and {int, float} & set(allowed) and str not in allowed:
            raise ConfigError(f"{name}.{key}={value}: give a number")
