"""Configs of runs that an older version wrote, read as the present version writes them."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

# Keys that no longer exist: their runs are read, resumed, evaluated and compared as if they had never been set.
REMOVED = ("data.match_sharpness",)


def without_removed(config: Any) -> Any:
    """A saved config without the keys of `REMOVED`, which are deleted in place."""
    for key in REMOVED if isinstance(config, DictConfig) else ():
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(config, parent)
        if isinstance(node, DictConfig):
            node.pop(name, None)
    return config
