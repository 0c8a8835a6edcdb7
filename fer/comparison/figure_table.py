"""The table of figures of a comparison: `DATA_FIGURES` has a row for each figure of a data set.

To add a figure, write the function that draws it and add its row.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fer.comparison import figures
from fer.comparison.figures import Row
from fer.comparison.report import Picture
from fer.comparison.result import Comparison, Entry, confusion, transfers
from fer.comparison.statistics import Estimate
from fer.files import typeable
from fer.reporting.figure_table import FigureRow
from fer.reporting.figures import save_figure
from fer.runs.finished import read_learning_curve


def draw_seeds(comparison: Comparison, data: str) -> Figure:
    return figures.seeds_figure([_row(entry) for entry in scored(comparison, data)], data)


def draw_differences(comparison: Comparison, data: str) -> Figure | None:
    pairs = [d for d in comparison.differences if d.first.data == data]
    shown = [(d.first.model, d.second.model, d.estimate, d.shown) for d in pairs]
    return figures.differences_figure(shown, data) if shown else None


def draw_macs(comparison: Comparison, data: str) -> Figure | None:
    costs = {entry.group.model: entry.macs / 1e9 for entry in scored(comparison, data) if entry.macs}
    return _against_cost(comparison, data, costs, "billion multiply-accumulates per image")


def draw_latency(comparison: Comparison, data: str) -> Figure | None:
    costs = {entry.group.model: entry.cost.latency_ms for entry in scored(comparison, data) if entry.cost}
    return _against_cost(comparison, data, costs, "ms for one image, on this machine")


def draw_recall(comparison: Comparison, data: str) -> Figure | None:
    entries = scored(comparison, data)
    recalls = {name: np.diag(matrix) for name, matrix in _confusions(entries).items()}
    title = f"{data}: recall of each class"
    return figures.recall_figure(recalls, entries[0].group.classes, title) if recalls else None


def draw_confusion_difference(comparison: Comparison, data: str) -> Figure | None:
    """The most accurate model against the cheapest other one."""
    entries = scored(comparison, data)
    shares = _confusions(entries)
    if len(shares) < 2:
        return None
    ranked = sorted(entries, key=lambda entry: -(entry.group.mean("test/accuracy") or 0))
    best, *others = (entry for entry in ranked if entry.group.model in shares)
    cheapest = min(others, key=lambda entry: entry.macs or float("inf"))
    names = (best.group.model, cheapest.group.model)
    return figures.confusion_difference_figure(shares[names[0]], shares[names[1]], best.group.classes, names, data)


def draw_learning(comparison: Comparison, data: str) -> Figure | None:
    """The curves of the rows; of folds the mean."""
    rows = []
    for entry in scored(comparison, data)[: figures.MAX_ROWS]:
        found = [read_learning_curve(run) for run in entry.group.runs]
        histories = [history for history in found if history]
        if histories:
            rows.append((entry.group.model, histories))
    return figures.learning_figure(rows, data) if rows else None


def draw_transfer(comparison: Comparison, _: str) -> Figure | None:
    found = transfers(comparison.entries)
    return None if found is None else figures.transfer_figure(*found, "Across data sets")


DATA_FIGURES: tuple[FigureRow, ...] = (
    FigureRow(
        "seeds",
        "Test accuracy by model",
        "Test accuracy: each seed a point, the mean with its 95 % interval.",
        draw_seeds,
    ),
    FigureRow(
        "learning",
        "Learning curves: validation accuracy and loss after each epoch",
        "After each epoch, on validation images: thin lines are seeds, thick ones their means. Of folds it is their "
        "mean.",
        draw_learning,
        wide=True,
    ),
    FigureRow(
        "differences",
        "Paired differences of accuracy, as the sentences above give them",
        "Paired differences on the same test images, with 95 % intervals. Filled: the difference is shown after "
        "correction for all comparisons.",
        draw_differences,
    ),
    FigureRow(
        "accuracy_macs",
        "Test accuracy against multiply-accumulates",
        "Accuracy against cost. The line joins the models that no other one beats at their cost. Bars: 95 % intervals.",
        draw_macs,
    ),
    FigureRow(
        "accuracy_latency",
        "Test accuracy against time for one image",
        "Accuracy against time. The line joins the models that no other one beats at their cost. Bars: 95 % intervals.",
        draw_latency,
    ),
    FigureRow(
        "recall",
        "Recall of each class by model",
        "The share of the test images of each class that a model finds, the mean over seeds.",
        draw_recall,
    ),
    FigureRow(
        "confusion_difference",
        "What the most accurate model predicts more or less often than another",
        "Confusion of the most accurate model minus that of the cheapest other one. Purple: more often. Orange: less "
        "often. On the diagonal more is better, elsewhere less.",
        draw_confusion_difference,
    ),
)
TRANSFER_FIGURE = FigureRow(
    "transfer",
    "Accuracy by training data and test data",
    "Accuracy by training data (rows) and test data (columns), the mean over seeds.",
    draw_transfer,
)


def write_figures(comparison: Comparison, folder: Path) -> dict[str, list[Picture]]:
    """Write all figures as PNG and SVG into `folder`/figures, and remove those of an earlier comparison.

    Returns:
        Pictures by data set; under `""` the one that belongs to none.
    """
    target = folder / "figures"
    pictures: dict[str, list[Picture]] = {}
    wanted = [(row, data) for data in comparison.data if scored(comparison, data) for row in DATA_FIGURES]
    for row, data in [*wanted, (TRANSFER_FIGURE, "")]:
        figure = row.draw(comparison, data) if row.draw is not None else None
        if figure is not None:
            name = f"{row.name}-{typeable(data)}" if data else row.name
            save_figure(figure, target, name)
            alt = f"{row.title}, {data}" if data else row.title
            pictures.setdefault(data, []).append(Picture(target / f"{name}.png", row, alt))
    written = {picture.path.stem for of_data in pictures.values() for picture in of_data}
    names = {row.name for row in (*DATA_FIGURES, TRANSFER_FIGURE)}
    for old in target.glob("*.*"):
        if old.stem not in written and old.suffix in (".png", ".svg") and old.stem.split("-")[0] in names:
            old.unlink()
    return pictures


def scored(comparison: Comparison, data: str) -> list[Entry]:
    """Rows of a data set that have an accuracy, with or without an interval."""
    return [entry for entry in comparison.of(data) if entry.group.mean("test/accuracy") is not None]


def _against_cost(comparison: Comparison, data: str, costs: dict[str, float], unit: str) -> Figure | None:
    """None where there is one cost alone."""
    entries = [entry for entry in scored(comparison, data) if entry.group.model in costs]
    rows = [_row(entry, costs[entry.group.model]) for entry in entries]
    return figures.cost_figure(rows, unit, data) if len(set(costs.values())) > 1 else None


def _confusions(entries: list[Entry]) -> dict[str, np.ndarray]:
    """Confusion by model, where predictions are known."""
    return {entry.group.model: matrix for entry in entries if (matrix := confusion(entry.group)) is not None}


def _row(entry: Entry, cost: float | None = None) -> Row:
    """What figures show of a row; where no interval can be estimated its bar has no length."""
    values = entry.group.values("test/accuracy")
    mean = float(np.mean(values))
    return Row(entry.group.model, entry.accuracy or Estimate(mean, mean, mean), values, cost)
