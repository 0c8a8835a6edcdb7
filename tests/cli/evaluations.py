"""What `evaluate.py` is asked, and what it finds."""

from typing import Any

from omegaconf import DictConfig

from fer.evaluation.evaluate import evaluate_models
from tests.composing import composed


def evaluation(*overrides: str) -> tuple[DictConfig, tuple[str, ...]]:
    """The config of `evaluate.py`, and the command line that made it."""
    return composed("evaluate", *overrides), overrides


def evaluated(*overrides: str) -> tuple[Any, dict[str, Any]]:
    cfg, given = evaluation(*overrides)
    _models, found = evaluate_models(cfg, given)
    return found.predictions, found.metrics
