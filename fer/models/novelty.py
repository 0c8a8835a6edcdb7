"""How unlike the faces of training a face is, by its distance to the nearest of them in what a network's stages see.

The distance to the k-th nearest neighbour (Sun et al., Out-of-Distribution Detection with Deep Nearest Neighbors, ICML
2022), taken of the mean and standard deviation of each channel of each stage: the last layer alone keeps what tells
emotions apart, and takes a stone wall for a face.
"""

import base64
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXAMPLES, NEAREST = 1000, 3  # training images that are kept; the neighbour whose distance counts
BORDER_QUANTILE = 0.99  # of validation images: the distance that is 1
MAX_STAGES = 5  # the last ones


class NoveltyScore(Protocol):
    """What tells how unlike the training data the images of a network's last pass are."""

    def watching(self, network: nn.Module) -> AbstractContextManager[Callable[[], Tensor]]:
        """Within it, after each pass of the network, the function gives the scores of its images, float [B]."""
        ...


@dataclass(frozen=True)
class Novelty:
    """Training images as the stages see them, and how far validation images are from them.

    Args:
        examples: int8 [n, D], features of training images, each row scaled so that its largest is 127.
        border: distance that 99 % of validation images stay below.
    """

    examples: Tensor
    border: float

    @classmethod
    def fit(cls, training: Tensor, validation: Tensor) -> "Novelty | None":
        """From features, float [n, D] and [m, D], of images of training and validation; None without any."""
        if not len(training) or not len(validation):
            return None
        scaled = 127 * training / training.abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
        found = cls(scaled.round().to(torch.int8), 1.0)
        border = float(found.score(validation).quantile(BORDER_QUANTILE))
        return cls(found.examples, border) if math.isfinite(border) and border > 0 else None

    def score(self, features: Tensor) -> Tensor:
        """How unlike, float [B], from 0; 1 is the border. Features are float [B, D]."""
        kept = F.normalize(self.examples.to(features.device).float(), dim=1)
        likeness = F.normalize(features.float(), dim=1) @ kept.T
        nearest = likeness.topk(min(NEAREST, len(kept)), dim=1).values[:, -1]
        return (1 - nearest).clamp(min=0) / self.border

    @contextmanager
    def watching(self, network: nn.Module) -> Iterator[Callable[[], Tensor]]:
        """See `NoveltyScore`."""
        with watched_stages(network) as seen:
            yield lambda: self.score(features_of(seen))

    def to_text(self) -> str:
        """For the metadata of an exported file."""
        rows, columns = self.examples.shape
        content = base64.b64encode(zlib.compress(self.examples.cpu().numpy().tobytes(), 9)).decode("ascii")
        return f"{rows} {columns} {self.border!r} {content}"

    @classmethod
    def from_text(cls, text: str) -> "Novelty":
        """Read what `to_text` wrote.

        Raises:
            ValueError: damaged.
        """
        rows, columns, border, content = text.split(" ")
        try:
            values = torch.frombuffer(bytearray(zlib.decompress(base64.b64decode(content))), dtype=torch.int8)
        except zlib.error as error:
            raise ValueError("the statistics of its training data are damaged") from error
        if values.numel() != int(rows) * int(columns) or not float(border) > 0:
            raise ValueError("the statistics of its training data are damaged")
        return cls(values.view(int(rows), int(columns)), float(border))


@contextmanager
def watched_stages(network: nn.Module) -> Iterator[list[Tensor]]:
    """A list that each pass of the network adds its stages' means and deviations to: float [B, D_stage], in order."""
    seen: list[Tensor] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or output.ndim not in (3, 4):
            return
        cells = output.flatten(2) if output.ndim == 4 else output.transpose(1, 2)  # [B, channels, cells]
        cells = cells.float()
        both = torch.cat([cells.mean(dim=2), cells.std(dim=2, correction=0)], dim=1)
        seen.append(F.normalize(both, dim=1))

    hooks = [network.get_submodule(name).register_forward_hook(note) for name in stage_names(network)[-MAX_STAGES:]]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def features_of(seen: list[Tensor]) -> Tensor:
    """What one pass left in a list of `watched_stages`, float [B, D], each stage of equal weight; empties the list.

    D is 0 where the network has no stage with maps or tokens.
    """
    stages = list(seen)
    seen.clear()
    return torch.cat(stages, dim=1) if stages else torch.empty(0, 0)


def stage_names(network: nn.Module) -> Sequence[str]:
    """The modules that a network's stages end with: as timm says, or else its children."""
    described: Any = getattr(network, "feature_info", None)
    named = [stage["module"] for stage in described] if isinstance(described, list) else []
    return named or [name for name, _ in network.named_children()]
