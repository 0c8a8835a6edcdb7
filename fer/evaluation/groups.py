"""Results by groups of people, and the gaps between groups, where attributes such as gender or age are known.

A gap has the interval that the two intervals of its groups give (MOVER; Zou & Donner 2008, Construction of confidence
limits about effect measures, Statistics in Medicine 27), so that it holds with few people too, as they do. Its p-value
is the level at which that interval reaches 0, corrected for all pairs of groups of all attributes (Holm 1979).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from fer.evaluation.intervals import LEVEL, accuracy_interval, holm
from fer.evaluation.metrics import recalls
from fer.evaluation.scores import balanced_accuracy_scores, score_interval
from fer.evaluation.split_predictions import SplitPredictions

FEWEST_IMAGES, FEWEST_PEOPLE = 30, 5  # of a group that gets numbers
STEPS = 14  # by which a p-value is found
GROUPS, GAPS = "groups", "group_gaps"  # of a split, in metrics.json
Interval = Callable[[float], list[float] | None]  # of a metric, by how often it may miss the truth


@dataclass(frozen=True)
class Scored:
    """A metric of a group."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class GroupResult:
    """One group; without scores where it is too small to say anything."""

    attribute: str
    group: str
    images: int
    people: int | None
    scores: dict[str, Scored] = field(default_factory=dict)
    classes: tuple[int, ...] = ()  # that it has images of

    def row(self) -> dict[str, Any]:
        """By the names of `metrics.json`."""
        row = {"attribute": self.attribute, "group": self.group, "images": self.images, "people": self.people}
        for key, scored in self.scores.items():
            row |= {key: scored.value, f"{key}_ci95": scored.interval(LEVEL)}
        return row


@dataclass(frozen=True)
class Gap:
    """A metric of one group less that of another, which scored lower."""

    attribute: str
    metric: str
    higher: str
    lower: str
    difference: float
    interval: list[float]
    p: float

    def row(self) -> dict[str, Any]:
        """By the names of `metrics.json`."""
        return {**vars(self), "shown": self.p < LEVEL}


def group_metrics(p: SplitPredictions) -> dict[str, list[dict[str, Any]]]:
    """Results by group and the gaps between them, as rows for `metrics.json`; nothing where no attribute is known."""
    if not p.groups:
        return {}
    results = [_result(p, *group) for group in each_group(p.groups, p.subjects)]
    return {
        GROUPS: [result.row() for result in results],
        GAPS: [gap.row() for gap in corrected(uncorrected_gaps(results))],
    }


def each_group(
    groups: Mapping[str, np.ndarray], subjects: np.ndarray | None
) -> Iterator[tuple[GroupResult, np.ndarray, bool]]:
    """Each group of each attribute without its scores, which images are of it, bool [N], and whether it is too small.

    Args:
        groups: of each attribute, str [N], empty where unknown.
        subjects: who is on each image, str [N].
    """
    for attribute, values in groups.items():
        for group in sorted(set(values.tolist()) - {""}):
            rows = values == group
            images, people = int(rows.sum()), None if subjects is None else len(np.unique(subjects[rows]))
            few = images < FEWEST_IMAGES or (people is not None and people < FEWEST_PEOPLE)
            yield GroupResult(attribute, group, images, people), rows, few


def accuracies_by_group(
    correct: np.ndarray, groups: Mapping[str, np.ndarray], units: np.ndarray | None, subjects: np.ndarray | None
) -> list[GroupResult]:
    """The accuracy of each group, the mean over seeds.

    Args:
        correct: bool [S, N].
        groups: of each attribute, str [N].
        units: people or photographs, [N].
        subjects: who is on each image, str [N].
    """

    def scored(rows: np.ndarray) -> Scored:
        of, units_of = correct[:, rows], None if units is None else units[rows]
        return Scored(float(of.mean()), cache(lambda level: accuracy_interval(of, units_of, level=level)))

    found = each_group(groups, subjects)
    return [result if few else replace(result, scores={"accuracy": scored(rows)}) for result, rows, few in found]


def uncorrected_gaps(results: Sequence[GroupResult]) -> list[Gap]:
    """Of each pair of groups of an attribute that are large enough, each with its own p-value.

    Balanced accuracies are compared between groups that have images of the same classes.

    Returns:
        By metric and attribute, the widest first.
    """
    found: list[Gap] = []
    order = {attribute: place for place, attribute in enumerate(dict.fromkeys(r.attribute for r in results))}
    for one, other in combinations(results, 2):
        if one.attribute != other.attribute:
            continue
        for metric in one.scores.keys() & other.scores.keys():
            if metric == "accuracy" or one.classes == other.classes:
                gap = _gap(metric, *sorted((one, other), key=lambda result: -result.scores[metric].value))
                found += [] if gap is None else [gap]
    return sorted(found, key=lambda gap: (gap.metric, order[gap.attribute], -gap.difference))


def corrected(gaps: Sequence[Gap], family: int | None = None) -> list[Gap]:
    """With p-values for all these gaps of a metric, or for so many (Holm 1979)."""
    found = []
    for metric in dict.fromkeys(gap.metric for gap in gaps):
        of_metric = [gap for gap in gaps if gap.metric == metric]
        p_values = holm([gap.p for gap in of_metric], family)
        found += [replace(gap, p=p) for gap, p in zip(of_metric, p_values, strict=True)]
    return found


def _gap(metric: str, higher: GroupResult, lower: GroupResult) -> Gap | None:
    """With its own p-value; None where an interval is not estimable."""
    first, second = higher.scores[metric], lower.scores[metric]
    difference = first.value - second.value
    bounds = _difference_interval(first, second, LEVEL)
    if bounds is None:
        return None
    low, high = 0.0, 12.0  # of minus log2 of the level
    for _ in range(STEPS):
        middle = (low + high) / 2
        at = _difference_interval(first, second, 2.0**-middle)
        low, high = (middle, high) if at is not None and at[0] > 0 else (low, middle)
    p = 2.0**-low if difference > 0 else 1.0
    return Gap(higher.attribute, metric, higher.group, lower.group, difference, bounds, p)


def _difference_interval(first: Scored, second: Scored, level: float) -> list[float] | None:
    one, other = first.interval(level), second.interval(level)
    if one is None or other is None:
        return None
    difference = first.value - second.value
    down = np.hypot(first.value - one[0], other[1] - second.value)
    up = np.hypot(one[1] - first.value, second.value - other[0])
    return [float(max(-1.0, difference - down)), float(min(1.0, difference + up))]


def _result(p: SplitPredictions, result: GroupResult, rows: np.ndarray, few: bool) -> GroupResult:
    if few:
        return result
    units = p.units
    own = SplitPredictions(
        p.classes,
        p.logits[rows],
        p.labels[rows],
        p.names[rows],
        None if units is None else units[rows],
        None,
        folds=None if p.folds is None else p.folds[rows],
    )
    balanced = balanced_accuracy_scores(own)
    return replace(
        result,
        classes=tuple(np.unique(own.labels).tolist()),
        scores={
            "accuracy": Scored(
                float(own.correct.mean()),
                cache(lambda level: accuracy_interval(own.correct, own.units, folds=own.folds, level=level)),
            ),
            "balanced_accuracy": Scored(
                float(np.nanmean(recalls(own.confusion))), cache(lambda level: score_interval(balanced, own, level))
            ),
        },
    )
