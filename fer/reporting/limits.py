"""What the numbers of a run do not say: limits of the data it was made with, and of any such model."""

from collections.abc import Mapping
from typing import Any

from fer.data.datasets import dataset

FEELINGS = (
    "Expressions are not feelings. The model names what a face looks like to those who labelled the images; what a "
    "person feels cannot be read off it reliably (Barrett et al., Psychological Science in the Public Interest 2019). "
    "Do not decide about people by it; in the European Union inferring emotions at work and in education is forbidden "
    "(AI Act, Article 5)."
)
ALWAYS = (
    "It names one of its {classes} classes for every image, also where there is no face or another expression. Low "
    "probabilities are the only hint.",
    "The numbers hold for images like those of the test: same source, same way of cropping. Other cameras, ages, poses "
    "and cultures usually give lower ones, and differences between groups of people were not measured.",
)


def limits(pack: str, classes: int, metrics: Mapping[str, Any], split: str = "test", fold: str = "") -> list[str]:
    """Sentences for a report.

    Args:
        pack: what the data is called, see `fer.data.datasets.dataset`.
        classes: number of them.
        metrics: by the names of `metrics.json`.
        split: that was judged.
        fold: which one was judged, in words; empty where the data is not folded or all folds are pooled.
    """
    said = [FEELINGS, *dataset(pack).caveats, *(line.format(classes=classes) for line in ALWAYS)]
    bounds = metrics.get(f"{split}/accuracy_ci95")
    if bounds:
        width = 100 * (bounds[1] - bounds[0]) / 2
        said.append(
            f"One run, one seed: another seed gives another number. A model whose accuracy differs by less than about "
            f"{width:.1f} points may be no better and no worse; compare several seeds of each."
        )
    if metrics.get(f"{split}/held_out"):
        said.append(
            "This data has neither a test split nor names of people: of each emotion the last images by name were held "
            "out. People may be on both sides, and the accuracy is then too high for new ones."
        )
    if fold:
        said.append(f"This is {fold} alone: a few people. Only all folds pooled mean anything (folds=all).")
    twins = metrics.get(f"{split}/near_twins")
    if twins:
        said.append(
            f"{twins:,} of the images have a twin in what was trained or selected on; the number without them "
            "is given above."
        )
    absent = [
        name.split("_", 1)[1] for name, count in metrics.items() if name.startswith(f"{split}/support_") and count == 0
    ]
    if absent:
        said.append(f"No image shows {' or '.join(absent)}: nothing is known of how the model does there.")
    return said
