"""Layer-wise learning rates: early stages, whose pretrained features are the most general, learn slower.

Each is a function: (learning rate of the head, number of stages) -> learning rate of each stage, from stem to head. The
head's is the optimizer's.
"""

from dataclasses import dataclass

from fer.errors import ConfigError


@dataclass(frozen=True)
class Equal:
    """The same learning rate everywhere."""

    def __call__(self, rate: float, stages: int) -> list[float]:
        return [rate] * stages


@dataclass(frozen=True)
class Geometric:
    """From a lowest learning rate for the stem to the optimizer's for the head, spaced geometrically.

    Howard & Ruder, Universal Language Model Fine-tuning (ACL 2018), section 3.2; fastai's `slice(lowest, highest)`.

    Args:
        lowest: learning rate of the stem.
    """

    lowest: float = 1e-5

    def __post_init__(self) -> None:
        if not self.lowest > 0:
            raise ConfigError(f"rates.lowest={self.lowest}: give a learning rate over 0")

    def __call__(self, rate: float, stages: int) -> list[float]:
        if stages == 1 or rate == 0:
            return [rate] * stages
        return [self.lowest ** (1 - i / (stages - 1)) * rate ** (i / (stages - 1)) for i in range(stages)]


@dataclass(frozen=True)
class LayerDecay:
    """Each stage has the learning rate of the one above it, times a constant factor (Clark et al., ELECTRA, ICLR 2020).

    Args:
        decay: the factor, over 0 and at most 1.
    """

    decay: float = 0.75

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise ConfigError(f"rates.decay={self.decay}: give a factor over 0 and at most 1")

    def __call__(self, rate: float, stages: int) -> list[float]:
        return [rate * self.decay ** (stages - 1 - i) for i in range(stages)]
