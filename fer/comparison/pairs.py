"""Which of two rows is better on the same test images, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from fer.comparison.groups import Group, without_arguments
from fer.comparison.statistics import Estimate, mean_accuracy, paired_difference
from fer.errors import RunError
from fer.evaluation.intervals import LEVEL, SeedSpread, by_unit, holm, seed_spread
from fer.evaluation.metric_table import shown_in
from fer.evaluation.split_predictions import SplitPredictions
from fer.runs.finished import Predictions
from fer.runs.folder import RunFolder
from fer.runs.naming import differing_keys

ALL_PAIRS = 6  # rows of one data set; where there are more, each is compared with the best alone


@dataclass(frozen=True)
class Difference:
    """Accuracy of the first row less that of the second; `first` is the one that scored higher."""

    first: Group
    second: Group
    estimate: Estimate
    images: int  # that both were tested on
    subjects: int | None
    p_holm: float = float("nan")
    others: dict[str, Estimate] = field(default_factory=dict)  # of other metrics, by key; p-values corrected likewise
    detectable: float | None = None  # the smallest difference that would be shown in 8 of 10 cases

    @property
    def shown(self) -> bool:
        """Whether it is significant at 5 % among all pairs of rows."""
        return self.p_holm < LEVEL

    @property
    def seeds(self) -> tuple[int, int]:
        return len(answers(self.first)), len(answers(self.second))

    @property
    def of_networks(self) -> bool:
        """Whether it is one of these trained networks only: one seed on a side cannot tell what others would give."""
        return min(self.seeds) == 1


def answers(group: Group) -> list[Predictions]:
    """Of the runs that have any."""
    return [run.predictions for run in group.runs if run.predictions is not None]


def correct_on(predictions: Sequence[Predictions], names: Sequence[str]) -> np.ndarray:
    """Whether each of S runs is right on the images named, bool [S, N]."""
    rows = [(p, [p.row_of[name] for name in names]) for p in predictions]
    return np.array([p.labels[row] == p.predicted[row] for p, row in rows])


def common_images(predictions: Sequence[Predictions]) -> list[str]:
    """Names that all have, with the same truth, in the order of the first."""
    first, *others = (dict(zip(p.names.tolist(), p.labels.tolist(), strict=True)) for p in predictions)
    return [name for name, label in first.items() if all(other.get(name) == label for other in others)]


def accuracies_of(groups: Sequence[Group]) -> list[Estimate | None]:
    """Mean over seeds with its interval; that of `metrics.json` only for a single run without predictions.

    Two seeds alone say next to nothing of how seeds vary: there it is taken from all rows of the data set.
    """
    tested = [_tested(group) for group in groups]
    estimates: list[Estimate | None] = []
    for group, own in zip(groups, tested, strict=True):
        value, bounds = group.mean("test/accuracy"), group.runs[0].metrics.get("test/accuracy_ci95")
        if value is None:
            estimates.append(None)
        elif own is None and len(group.runs) == 1 and isinstance(bounds, list) and len(bounds) == 2:
            estimates.append(Estimate(value, float(bounds[0]), float(bounds[1])))
        elif own is None or len(own[0]) < len(group.runs):  # a mean of more runs than are known image by image
            estimates.append(None)
        else:
            beside = [t for g, t in zip(groups, tested, strict=True) if t is not None and g.data == group.data]
            spread = _spread_of_two(own, beside) if len(own[0]) == 2 else None
            estimate = mean_accuracy(*own, spread, folds_of(group))
            estimates.append(estimate and replace(estimate, value=value))
    return estimates


def majority(group: Group) -> float | None:
    """The accuracy of always answering the most frequent class of the test images; None without predictions."""
    found = answers(group)
    return None if not found else float(np.unique(found[0].labels, return_counts=True)[1].max() / len(found[0].labels))


def below_majority(groups: Sequence[Group]) -> list[str]:
    """Remarks on rows that are no better than always answering the most frequent class."""
    remarks = []
    for group in groups:
        share, accuracy = majority(group), group.mean("test/accuracy")
        if share is not None and accuracy is not None and accuracy <= share:
            remarks.append(
                f"{group.data}: {group.model} ({accuracy:.1%}) is not better than always answering the most frequent "
                f"class ({share:.1%})"
            )
    return remarks


Tested = tuple[np.ndarray, np.ndarray | None]  # correct, bool [S, N], and people or photographs, [N]


def _spread_of_two(own: Tested, beside: Sequence[Tested]) -> SeedSpread:
    """Between seeds, by all rows of the data set; but not less than the two seeds themselves differ."""
    two, together = seed_spread([by_unit(*own)]), seed_spread([by_unit(*row) for row in beside])
    return together if two.variance <= together.variance else replace(two, freedom=together.freedom)


def _tested(group: Group) -> Tested | None:
    """Whether each seed is right on each image, bool [S, N], and who or what is on it; None without predictions."""
    found = answers(group)
    names = common_images(found) if found else []
    return (correct_on(found, names), units_of(found, names)) if names else None


def folds_of(group: Group) -> np.ndarray | None:
    """By the model of which fold each common image was predicted, int [N]; None where that is unknown, or no folds."""
    fold_of: dict[str, int] = {}
    try:
        for number, fold in enumerate(group.runs[0].folds):
            fold_of |= dict.fromkeys(RunFolder(fold).read_predictions().names.tolist(), number)
    except RunError:
        return None
    names = common_images(answers(group)) if fold_of else []
    return np.array([fold_of[name] for name in names]) if names and all(name in fold_of for name in names) else None


def subjects_of(predictions: Sequence[Predictions], names: Sequence[str]) -> np.ndarray | None:
    """Who is on each image, by the first run that knows; None where none does."""
    for p in predictions:
        if p.subjects is not None:
            return p.subjects[[p.row_of[name] for name in names]]
    return None


def units_of(predictions: Sequence[Predictions], names: Sequence[str]) -> np.ndarray | None:
    """What was sampled: people where they are known, else photographs, [N]; None where each image stands alone."""
    people = subjects_of(predictions, names)
    known = next((p for p in predictions if p.photographs is not None), None)
    if people is not None or known is None or known.photographs is None:
        return people
    shown = known.photographs[[known.row_of[name] for name in names]]
    return shown if 1 < len(np.unique(shown)) < len(names) else None


def compare_all(groups: Sequence[Group]) -> tuple[list[Difference], list[str]]:
    """All pairs of rows of the same data set, or each row against the best where there are many.

    The best is found by the same test images, so that all pairs count as compared, those that are not given too.

    Returns:
        Differences with p-values corrected for all pairs of all data sets (Holm 1979), and remarks on pairs left out.
    """
    found: list[Difference] = []
    remarks: list[str] = []
    pairs: list[tuple[Group, Group]] = []
    family = 0
    for data in dict.fromkeys(group.data for group in groups):
        rows = [group for group in groups if group.data == data and answers(group)]
        rows.sort(key=lambda group: -(group.mean("test/accuracy") or 0))
        here = list(combinations(rows, 2))
        family += len(here)
        if len(rows) > ALL_PAIRS:
            remarks.append(
                f"{data}: {len(rows)} rows, so that each is compared with the best alone. The best was found by the "
                f"same test images; therefore the p-values are corrected for all {len(here)} pairs"
            )
            here = [pair for pair in here if pair[0] is rows[0]]
        pairs += here
    for first, second in pairs:
        difference = compare_pair(first, second)
        if difference is None:
            remarks.append(f"{first.data}: {first.model} and {second.model} were tested on different images")
        else:
            found.append(difference)
            remarks += _cautions(difference)
    return _corrected(found, family), list(dict.fromkeys(remarks))


def _corrected(found: Sequence[Difference], family: int) -> list[Difference]:
    """With p-values for so many comparisons, of each metric by itself."""
    corrected = [
        replace(d, p_holm=p, detectable=d.estimate.detectable(family))
        for d, p in zip(found, holm([d.estimate.p for d in found], family), strict=True)
    ]
    for key in {key for d in found for key in d.others}:
        with_key = [d for d in corrected if key in d.others]
        for d, p in zip(with_key, holm([d.others[key].p for d in with_key], family), strict=True):
            d.others[key] = replace(d.others[key], p=p)
    return corrected


def compare_pair(one: Group, other: Group) -> Difference | None:
    """None where they have no test image in common."""
    mine, theirs = answers(one), answers(other)
    names = common_images([*mine, *theirs])
    if not names:
        return None
    subjects, units = subjects_of([*mine, *theirs], names), units_of([*mine, *theirs], names)
    first, second = correct_on(mine, names), correct_on(theirs, names)
    if second.mean() > first.mean():
        one, other, first, second = other, one, second, first
    people = None if subjects is None else len(set(subjects.tolist()))
    others = _other_differences(answers(one), answers(other), names, units)
    return Difference(one, other, paired_difference(first, second, units), len(names), people, others=others)


def _other_differences(
    mine: Sequence[Predictions], theirs: Sequence[Predictions], names: Sequence[str], units: np.ndarray | None
) -> dict[str, Estimate]:
    """Paired differences of the metrics that are no accuracy, by key; none where labels are no classes of the runs."""
    try:
        of = [[SplitPredictions.of_table(p, [p.row_of[n] for n in names]) for p in side] for side in (mine, theirs)]
    except ValueError:
        return {}
    said = np.array([np.array(p.classes)[p.predicted] for side in of for p in side])
    differing = (said != said[0]).any(axis=0)
    found = {}
    for metric in shown_in("differences"):
        assert metric.scores is not None, metric.key
        first, second = (np.array([metric.scores(p).values for p in side]) for side in of)
        found[metric.key] = paired_difference(first, second, units, differing)
    return found


def _cautions(difference: Difference) -> list[str]:
    """What a reader of the difference must know."""
    first, second = difference.first, difference.second
    names = f"{first.model} and {second.model}"
    remarks = []
    tested = {len(p.names) for group in (first, second) for p in answers(group)}
    if tested != {difference.images}:
        remarks.append(
            f"{first.data}: {names} are compared on the {difference.images:,} test images that all their runs have "
            f"(the runs have {_listed(sorted(tested))})"
        )
    differing = without_arguments(differing_keys([first.settings, second.settings]))
    if differing and first.settings and second.settings and first.backbone != second.backbone:
        remarks.append(f"{first.data}: {names} differ in {', '.join(differing[:6])} too, not in the network alone")
    return remarks


def _listed(numbers: Sequence[int]) -> str:
    return " and ".join(f"{number:,}" for number in numbers)


def in_words(difference: Difference) -> str:
    """One sentence, in points of accuracy; of these trained networks where a row has one seed."""
    estimate = difference.estimate
    (first, be), (second, _) = (
        _subject(group.model, seeds, difference.of_networks)
        for group, seeds in zip((difference.first, difference.second), difference.seeds, strict=True)
    )
    value, low, high = (f"{100 * number:.1f}".replace("-0.0", "0.0") for number in
                        (estimate.value, estimate.low, estimate.high))  # fmt: skip
    points = "point" if value == "1.0" else "points"
    if difference.shown:
        return f"{first} {be} better than {second} by {value} {points} [{low}, {high}]"
    detectable = f"; one of {100 * difference.detectable:.1f} would have been" if difference.detectable else ""
    text = f"no difference shown between {first} and {second} ({value} {points} [{low}, {high}]{detectable})"
    if estimate.p < LEVEL:
        text += "; alone it would count, among so many comparisons it does not"
    return text


def _subject(model: str, seeds: int, of_networks: bool) -> tuple[str, str]:
    """What a sentence speaks of, and its verb."""
    if not of_networks:
        return model, "is"
    return (f"this trained {model}", "is") if seeds == 1 else (f"these {seeds} trained {model}", "are")
