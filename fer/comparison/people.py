"""Accuracy by groups of people, such as gender or age range, of each row of a comparison; where they are known."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fer.comparison.groups import Group
from fer.comparison.pairs import answers, common_images, correct_on, subjects_of, units_of
from fer.evaluation.groups import Gap, GroupResult, accuracies_by_group, corrected, uncorrected_gaps
from fer.files import replacing


@dataclass(frozen=True)
class ByPeople:
    """Of one row."""

    group: Group
    results: list[GroupResult]
    gaps: list[Gap]  # p-values corrected for all gaps of the comparison


def results_by_people(groups: Sequence[Group]) -> list[ByPeople]:
    """Of the rows whose runs know attributes of the people, mean over seeds."""
    found = []
    for group in groups:
        predictions = answers(group)
        names = common_images(predictions) if predictions else []
        knows = next((p for p in predictions if p.groups), None)
        if names and knows is not None:
            rows = [knows.row_of[name] for name in names]
            attributes = {attribute: values[rows] for attribute, values in knows.groups.items()}
            correct, units = correct_on(predictions, names), units_of(predictions, names)
            results = accuracies_by_group(correct, attributes, units, subjects_of(predictions, names))
            found.append(ByPeople(group, results, uncorrected_gaps(results)))
    family = sum(len(row.gaps) for row in found)
    return [ByPeople(row.group, row.results, corrected(row.gaps, family)) for row in found]


def write_people(path: Path, rows: Sequence[ByPeople]) -> None:
    """`groups.csv`: a row per model, data set and group; groups that are too small have no accuracy."""
    if not rows:
        path.unlink(missing_ok=True)  # of an earlier comparison
        return
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "data", "attribute", "group", "images", "people", "accuracy", "low", "high"])
        for of in rows:
            for result in of.results:
                row = result.row()
                low, high = row.get("accuracy_ci95") or (None, None)
                numbers = [None if n is None else f"{n:.10g}" for n in (row.get("accuracy"), low, high)]
                writer.writerow([of.group.model, of.group.data, *list(row.values())[:4], *numbers])
