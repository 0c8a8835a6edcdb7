"""From config nodes to live objects."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from fer.errors import ConfigError


def build(node: DictConfig, name: str, **live: Any) -> Any:
    """Instantiate a node of the config; `live` objects are handed to its constructor as they are, uncopied.

    Raises:
        ConfigError: the target does not exist, or does not take what the config gives it.
    """
    try:
        target = get_method(node["_target_"])
        check_numbers(target, OmegaConf.to_container(node, resolve=True), name)  # type: ignore[arg-type]
        if node.get("_partial_"):
            return instantiate(node, _convert_="all")
        return instantiate(node, _partial_=True, _convert_="all")(**live)
    except (InstantiationException, MisconfigurationException, ImportError, TypeError, ValueError) as error:
        raise ConfigError(f"{name}: {error}") from error


def accepts(node: DictConfig, keyword: str) -> bool:
    """Whether the target of a node has a parameter of that name."""
    try:
        return keyword in inspect.signature(get_method(node["_target_"])).parameters
    except (ImportError, ValueError):  # told by `build`, with its reason
        return False


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
