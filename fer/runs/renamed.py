"""Configs and checkpoints of earlier versions: what they name is translated to the names of today.

Whoever moves a class that configs name adds a line to `MOVED`; whoever removes a key of the config adds it
to `REMOVED`, and whoever adds one whose default is not null, to `ADDED`. Lines are never taken away: runs and
checkpoints of any age still resume, evaluate and compare.
"""

from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

OWN_DATA = "fer.data.datamodule.FERDataModule"

# Start of a `_target_` -> what it became. All lines apply in order, so that what moved twice has two.
MOVED = (
    ("fer.model.rates.", "fer.models.lr_multipliers."),
    ("fer.model.", "fer.models."),
    ("fer.models.classifier.ExpressionClassifier", "fer.training.module.ExpressionModule"),
    ("fer.models.freeze.", "fer.training.freeze."),
    ("fer.models.schedule.", "fer.training.schedule."),
    ("fer.data.mix.", "fer.data.augment."),
)
# Keys that no longer exist: runs in which they were off are read as if they had not had them. Where one was on, it
# stays, so that such a run is no seed of others.
REMOVED = ("data.match_sharpness",)
# Keys that came later -> what runs without them did.
ADDED = {"data.faces": "auto", "data.align": False}


def is_removed(override: str) -> bool:
    """Whether a word of a command line sets a key that no longer exists to what it would be without it."""
    key, _, value = override.lstrip("+~").partition("=")
    return key in REMOVED and value.lower() in ("false", "null", "")


def translated_target(target: Any) -> Any:
    """The name of today for a `_target_`; what is no text stays, for whoever refuses it."""
    for old, new in MOVED:
        if isinstance(target, str) and target.startswith(old):
            target = new + target.removeprefix(old)
    return target


def translated(config: DictConfig) -> DictConfig:
    """A config as today's version would have written it; the one that is given stays as it is."""

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: translated_target(value) if key == "_target_" else walk(value) for key, value in node.items()}
        return [walk(value) for value in node] if isinstance(node, list) else node

    renamed = OmegaConf.create(walk(OmegaConf.to_container(config, resolve=False)))
    assert isinstance(renamed, DictConfig)
    for key in REMOVED:
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(renamed, parent) if parent else renamed
        if isinstance(node, DictConfig) and not node.get(name):
            node.pop(name, None)
    for key, value in ADDED.items():
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(renamed, parent)
        if isinstance(node, DictConfig) and node.get("_target_") == OWN_DATA and name not in node:
            with open_dict(node):
                node[name] = value
    return renamed
