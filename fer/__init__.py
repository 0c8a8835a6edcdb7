"""Facial expression recognition experiments."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["EmotionClassifier", "Prediction"]  # __init__.pyi tells type checkers where they are


def __getattr__(name: str) -> Any:
    """Imported when first asked for: torch takes a second, and commands answer `--help` without it."""
    if name in __all__:
        return getattr(import_module("fer.inference.predictor"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
