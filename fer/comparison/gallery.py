"""All figures of a comparison, drawn and written."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fer.comparison import figures
from fer.comparison.document import Picture
from fer.comparison.figures import Row
from fer.comparison.result import Comparison, Entry, confusion, transfers
from fer.files import replacing, typeable

KINDS = ("accuracy_macs", "accuracy_latency", "seeds", "differences", "recall", "confusion_difference", "transfer")


@dataclass(frozen=True)
class Drawn:
    name: str  # of its files
    figure: Figure
    alt: str
    caption: str


def write_figures(comparison: Comparison, folder: Path) -> dict[str, list[Picture]]:
    """Write all figures as PNG and SVG into `folder`/figures, in place of those of an earlier comparison.

    Returns:
        Pictures by data set; under `transfer` what belongs to none.
    """
    target = folder / "figures"
    pictures: dict[str, list[Picture]] = {}
    written = set()
    for data in [*comparison.data, "transfer"]:
        for drawn in _transfer(comparison) if data == "transfer" else _of_data(comparison, data):
            for form in ("png", "svg"):
                with replacing(target / f"{drawn.name}.{form}", "wb") as file, _same_bytes():
                    drawn.figure.savefig(file, format=form, metadata={"Date": None} if form == "svg" else None)
            written.add(drawn.name)
            picture = Picture(target / f"{drawn.name}.png", drawn.alt, drawn.caption)
            pictures.setdefault(data, []).append(picture)
    for old in target.glob("*.*"):
        if old.stem not in written and old.suffix in (".png", ".svg") and old.stem.split("-")[0] in KINDS:
            old.unlink()
    return pictures


def _same_bytes() -> AbstractContextManager[Any]:
    """SVG files that do not change where nothing does."""
    return matplotlib.rc_context({"svg.hashsalt": "fer", "svg.fonttype": "none"})


def _of_data(comparison: Comparison, data: str) -> Iterator[Drawn]:
    entries = [entry for entry in comparison.of(data) if entry.accuracy is not None]
    if not entries:
        return
    of = typeable(data)
    rows = [_row(entry) for entry in entries]
    yield Drawn(
        f"seeds-{of}",
        figures.seeds_figure(rows, data),
        f"Test accuracy on {data} by model: " + "; ".join(_said(row) for row in rows[:8]),
        "Test accuracy: each seed a point, the mean with its 95 % interval.",
    )
    pairs = [d for d in comparison.differences if d.first.data == data]
    if pairs:
        shown = [(d.first.model, d.second.model, d.estimate, d.shown) for d in pairs]
        yield Drawn(
            f"differences-{of}",
            figures.differences_figure(shown, data),
            f"Paired differences of accuracy on {data}, as the sentences above say them",
            "Paired differences on the same test images, with 95 % intervals; filled where a difference is shown after "
            "correction for all comparisons.",
        )
    for kind, unit, costs in (
        ("macs", "billion multiply-accumulates of one image", [entry.macs and entry.macs / 1e9 for entry in entries]),
        ("latency", "ms for one image, on this machine", [e.cost.latency_ms if e.cost else None for e in entries]),
    ):
        priced = [_row(entry, cost) for entry, cost in zip(entries, costs, strict=True) if cost]
        if len({row.cost for row in priced}) > 1:
            yield Drawn(
                f"accuracy_{kind}-{of}",
                figures.cost_figure(priced, unit, data),
                f"Test accuracy on {data} against {unit}",
                "Accuracy against cost. The line joins what nothing beats at its cost; bars are 95 % intervals.",
            )
    shares = {entry.group.model: matrix for entry in entries if (matrix := confusion(entry.group)) is not None}
    if shares:
        recalls = {name: np.diag(matrix) for name, matrix in shares.items()}
        yield Drawn(
            f"recall-{of}",
            figures.recall_figure(recalls, entries[0].group.classes, f"{data}: recall of each class"),
            f"Share of the test images of each class that each model finds, on {data}",
            "How many test images of each class are found, the mean over seeds.",
        )
    if len(shares) > 1:
        first, second = _contrast([entry for entry in entries if entry.group.model in shares])
        names = (first.group.model, second.group.model)
        figure = figures.confusion_difference_figure(
            shares[names[0]], shares[names[1]], first.group.classes, names, data
        )
        yield Drawn(
            f"confusion_difference-{of}",
            figure,
            f"What {names[0]} answers more or less often than {names[1]}, for each true class of {data}",
            f"Confusion of {names[0]}, whose accuracy is highest, minus that of {names[1]}: purple is more often, "
            "orange less often. On the diagonal more is better, elsewhere less.",
        )


def _contrast(entries: list[Entry]) -> tuple[Entry, Entry]:
    """The best, and the cheapest other one."""
    best, *others = sorted(entries, key=lambda entry: -(entry.accuracy.value if entry.accuracy else 0))
    return best, min(others, key=lambda entry: entry.macs or float("inf"))


def _transfer(comparison: Comparison) -> Iterator[Drawn]:
    found = transfers(comparison.entries)
    if found is None:
        return
    yield Drawn(
        "transfer",
        figures.transfer_figure(*found, "Across data sets"),
        "Accuracy of each model by the data it was trained on and the data it was tested on",
        "Accuracy by training data (rows) and test data (columns), the mean over seeds.",
    )


def _row(entry: Entry, cost: float | None = None) -> Row:
    assert entry.accuracy is not None
    return Row(entry.group.model, entry.accuracy, entry.group.values("test/accuracy"), cost)


def _said(row: Row) -> str:
    return f"{row.name} {row.estimate.value:.1%}"
