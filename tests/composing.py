"""Configs as the commands compose them, made once for all tests of a process."""

import copy
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf

from fer.cli.app import CONF, register_resolvers

GROUPS = {path.name for path in CONF.iterdir() if path.is_dir()}


@cache
def _composed(name: str, overrides: tuple[str, ...], hydra: bool) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, list(overrides), return_hydra_config=hydra)


@cache
def _plain(override: str) -> tuple[str, Any] | None:
    """Key and value of an override that does nothing but set one; None of others."""
    key = override.partition("=")[0]
    if key in GROUPS or key.startswith("hydra.") or set(key) & set("+~/@"):
        return None
    try:
        parsed = OverridesParser.create().parse_override(override)
    except OverrideParseException:
        return None
    return None if parsed.is_sweep_override() else (parsed.key_or_group, parsed.value())


def composed(name: str, *overrides: str, hydra: bool = False) -> DictConfig:
    """`conf/<name>.yaml` with overrides, and Hydra's own keys.

    What chooses files is composed once; values alone are set after that, as Hydra does (composing takes long).
    """
    others = tuple(override for override in overrides if _plain(override) is None)
    cfg = copy.deepcopy(_composed(name, others, hydra))
    for plain in filter(None, map(_plain, overrides)):
        OmegaConf.update(cfg, *plain, merge=True)
    return cfg
