"""What `evaluate.py` is asked, and what it finds."""

from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from fer.cli.app import CONF, register_resolvers
from fer.evaluation.evaluate import evaluate_models


def evaluation(*overrides: str) -> tuple[DictConfig, tuple[str, ...]]:
    """The config of `evaluate.py`, and the command line that made it."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("evaluate", list(overrides)), overrides


def evaluated(*overrides: str) -> tuple[Any, dict[str, Any]]:
    cfg, given = evaluation(*overrides)
    _models, found = evaluate_models(cfg, given)
    return found.predictions, found.metrics
