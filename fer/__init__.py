"""Facial expression recognition experiments."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fer.inference.predictor import EmotionClassifier as EmotionClassifier
    from fer.inference.predictor import Prediction as Prediction

__version__ = "0.1.0"
__all__ = ["EmotionClassifier", "Prediction"]


def __getattr__(name: str) -> Any:
    """Imported when first asked for: torch takes a second, and commands answer `--help` without it."""
    if name in __all__:
        from fer.inference import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
