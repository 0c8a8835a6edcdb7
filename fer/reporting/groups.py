"""Results by groups of people in words: a table, and a sentence for each gap that a reader should know."""

from collections.abc import Mapping, Sequence
from typing import Any

from fer.evaluation.groups import FEWEST_IMAGES, FEWEST_PEOPLE, GAPS, GROUPS
from fer.evaluation.metric_table import MISSING, shown_in

TOO_SMALL = "too small"
FEW = (
    f"In brackets: 95 % intervals. A group of fewer than {FEWEST_IMAGES} images, or {FEWEST_PEOPLE} people where they "
    "are known, is too small to say anything of it."
)
CAPTION = f"{FEW} Groups may show other expressions: the balanced accuracy weighs those that a group has alike."


def groups_table(metrics: Mapping[str, Any], split: str) -> dict[str, Any] | None:
    """A row for each group; None where no attribute is known.

    Args:
        metrics: by the names of `metrics.json`.
        split: whose results are reported.
    """
    rows = metrics.get(f"{split}/{GROUPS}") or []
    shown = [metric for metric in shown_in("report") if metric.key in ("accuracy", "balanced_accuracy")]
    cells = [
        [
            row["attribute"],
            row["group"],
            f"{row['images']:,}",
            MISSING if row["people"] is None else f"{row['people']:,}",
            *(
                metric.text(row[metric.key], row[f"{metric.key}_ci95"]) if metric.key in row else TOO_SMALL
                for metric in shown
            ),
        ]
        for row in rows
    ]
    headings = ["attribute", "group", "images", "people", *(metric.label for metric in shown)]
    sentences = gap_sentences(rows, metrics.get(f"{split}/{GAPS}") or [])
    return {"headings": headings, "rows": cells, "caption": CAPTION, "sentences": sentences} if rows else None


def gap_sentences(rows: Sequence[Mapping[str, Any]], gaps: Sequence[Mapping[str, Any]]) -> list[tuple[str, bool]]:
    """For each attribute the widest gap of each metric and all that are shown, with whether it is shown.

    Args:
        rows: of groups, as `metrics.json` holds them.
        gaps: likewise, the widest of each attribute first.
    """
    sentences = []
    for attribute in dict.fromkeys(row["attribute"] for row in rows):
        of = [gap for gap in gaps if gap["attribute"] == attribute]
        if not of:
            sentences.append((f"{attribute}: fewer than two groups are large enough to compare.", False))
        for metric in dict.fromkeys(gap["metric"] for gap in of):
            widest, *others = (gap for gap in of if gap["metric"] == metric)
            sentences += [(gap_in_words(gap), gap["shown"]) for gap in (widest, *filter(_is_shown, others))]
    return sentences


def gap_in_words(gap: Mapping[str, Any]) -> str:
    """`gender, accuracy: higher for male than for female by 4.1 points [1.2, 7.0], p = 0.004.`"""
    low, high = (f"{100 * bound:.1f}" for bound in gap["interval"])
    size = f"{100 * gap['difference']:.1f} points [{low}, {high}], {p_in_words(gap['p'])}."
    what = f"{gap['attribute']}, {gap['metric'].replace('_', ' ')}: "
    if gap["shown"]:
        return f"{what}higher for {gap['higher']} than for {gap['lower']} by {size}"
    return f"{what}no gap shown between {gap['higher']} and {gap['lower']}, {size}"


def p_in_words(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _is_shown(gap: Mapping[str, Any]) -> bool:
    return bool(gap["shown"])
