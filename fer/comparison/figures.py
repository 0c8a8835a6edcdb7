"""Figures of a comparison: pure functions from numbers to matplotlib figures, in the style of all others here."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter

from fer.comparison.statistics import Estimate
from fer.reporting.figures import BLUE, GREY, ORANGE, style

MAX_ROWS = 40  # in one figure
MAX_MARKED_EPOCHS = 30  # of learning curves
# Colours that are told apart by people who see no red or no green (Okabe & Ito 2008)
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MAX_NAMED_POINTS = 14  # of accuracy against cost; where there are more, only those of the front are named
LINE_LENGTH = 36  # letters in a line of a row's name
NAME_SIZE = 8.5  # of names beside points


@dataclass(frozen=True)
class Row:
    """One row of the comparison as figures need it."""

    name: str
    estimate: Estimate  # accuracy
    seeds: Sequence[float]  # accuracy of each
    cost: float | None = None


def pareto_front(costs: np.ndarray, accuracies: np.ndarray) -> np.ndarray:
    """Which points have no other that is as cheap and better, or as good and cheaper: bool [N]."""
    no_dearer = costs[None] <= costs[:, None]
    no_worse = accuracies[None] >= accuracies[:, None]
    better = (costs[None] < costs[:, None]) | (accuracies[None] > accuracies[:, None])
    return np.logical_not((no_dearer & no_worse & better).any(axis=1))


def cost_figure(rows: Sequence[Row], unit: str, title: str) -> Figure:
    """Accuracy against cost, with intervals; what nothing beats at its cost is joined by a line.

    Args:
        rows: with costs.
        unit: of the cost, for the axis.
        title: the data set.
    """
    costs = np.array([row.cost for row in rows], dtype=float)
    accuracies = np.array([row.estimate.value for row in rows])
    front = pareto_front(costs, accuracies)
    with style():
        figure = Figure(figsize=(6.8, 4.6), layout="constrained")
        axes = figure.add_subplot()
        order = [index for index in np.argsort(costs, kind="stable") if front[index]]
        axes.plot(costs[order], 100 * accuracies[order], color=BLUE, linewidth=1.2, alpha=0.6, drawstyle="steps-post")
        few = len(rows) <= MAX_NAMED_POINTS
        for on_front, colour, marker, size, label in (
            (False, GREY, "s", 5, "another is as cheap and better"),
            (True, BLUE, "o", 7, "nothing is better at its cost"),
        ):
            for first, index in enumerate(np.flatnonzero(front == on_front).tolist()):
                if few or on_front:
                    low, high = rows[index].estimate.low, rows[index].estimate.high
                    axes.plot([costs[index]] * 2, [100 * low, 100 * high], color=colour, linewidth=1.2, alpha=0.8)
                axes.plot(costs[index], 100 * accuracies[index], marker, color=colour, markersize=size,
                          linestyle="none", label=label if not first else None)  # fmt: skip
        if costs.max() > 10 * costs.min() > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
        axes.margins(x=0.16, y=0.1)
        named = [index for index in range(len(rows)) if front[index] or few]
        _name_points(axes, costs, 100 * accuracies, [(index, rows[index].name) for index in named])
        axes.set(xlabel=unit, ylabel="test accuracy, %", title=title)
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return figure


def _name_points(axes: Axes, x: np.ndarray, y: np.ndarray, names: Sequence[tuple[int, str]]) -> None:
    """Names beside their points, each moved down until it covers no other."""
    axes.autoscale_view()  # until then data have no place on the page
    points = axes.transData.transform(np.column_stack([x, y])) / axes.figure.dpi * 72
    left, right = (axes.transAxes.transform((side, 0))[0] / axes.figure.dpi * 72 for side in (0, 1))
    placed: list[tuple[float, float, float]] = []  # left, right and bottom edge of each name, points
    letter = 0.55 * NAME_SIZE  # mean width, points
    for index, name in sorted(names, key=lambda entry: -y[entry[0]]):
        at, bottom = points[index]
        to_left = at > (left + right) / 2
        room = int(((at - left if to_left else right - at) - 8) / letter)
        text = name if len(name) <= room else f"{name[: room - 1]}…"
        width = letter * len(text)
        start = at - 8 - width if to_left else at + 8
        offset = 3.0
        while any(
            abs(bottom + offset - other) < NAME_SIZE + 1.5 and start < end and begin < start + width
            for begin, end, other in placed
        ):
            offset -= 2.0
        placed.append((start, start + width, bottom + offset))
        axes.annotate(text, (x[index], y[index]), xytext=(-8 if to_left else 8, offset), textcoords="offset points",
                      ha="right" if to_left else "left", va="bottom", fontsize=NAME_SIZE,
                      path_effects=[withStroke(linewidth=2.5, foreground="white")]).set_in_layout(False)  # fmt: skip


def seeds_figure(rows: Sequence[Row], title: str) -> Figure:
    """Each seed a point, their mean with its 95 % interval; the best on top.

    Args:
        rows: of one data set.
        title: the data set.
    """
    ranked = sorted(rows, key=lambda row: -row.estimate.value)
    shown = ranked[:MAX_ROWS]
    if len(shown) < len(ranked):
        title += f" (the best {len(shown)} of {len(ranked)})"
    with style():
        figure = Figure(figsize=(7.2, 1.5 + _height([_wrapped(row.name) for row in shown])), layout="constrained")
        axes = figure.add_subplot()
        for place, row in enumerate(shown):
            low, high = 100 * row.estimate.low, 100 * row.estimate.high
            axes.plot([low, high], [place, place], color=BLUE, linewidth=6, alpha=0.25, solid_capstyle="butt",
                      label="95 % interval of the mean" if not place else None)  # fmt: skip
            axes.plot(100 * np.array(row.seeds), np.full(len(row.seeds), place), "o", color=ORANGE, markersize=5,
                      label="one seed" if not place else None)  # fmt: skip
            axes.plot(100 * row.estimate.value, place, "|", color="#222222", markersize=15, markeredgewidth=2,
                      label="mean" if not place else None)  # fmt: skip
        axes.set_yticks(range(len(shown)), [_wrapped(row.name) for row in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.grid(axis="x", color="#e6e6e6")
        axes.set_axisbelow(True)
        axes.set(xlabel="test accuracy, %", title=title)
        figure.legend(frameon=False, loc="outside lower center", ncols=3)
    return figure


def differences_figure(rows: Sequence[tuple[str, str, Estimate, bool]], title: str) -> Figure:
    """Paired differences with their intervals; filled where a difference is shown.

    Args:
        rows: the better, the worse, difference, whether it is shown.
        title: the data set.
    """
    shown = list(rows)[:MAX_ROWS]
    best = shown[0][0]
    if len(shown) > 1 and all(better == best for better, *_ in shown):
        names = [_wrapped(worse) for _, worse, *_ in shown]
        title = "\n".join(textwrap.wrap(f"{title}: {best} minus", 70))
    else:
        names = [f"{_wrapped(better)}\nminus {_wrapped(worse)}" for better, worse, *_ in shown]
    with style():
        figure = Figure(figsize=(7.2, 1.3 + _height(names)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=GREY, linewidth=1)
        for place, (_, _, estimate, counts) in enumerate(shown):
            colour = BLUE if counts else GREY
            axes.plot([100 * estimate.low, 100 * estimate.high], [place] * 2, color=colour, linewidth=2)
            axes.plot(100 * estimate.value, place, "o", color=colour, markerfacecolor=colour if counts else "white",
                      markersize=7)  # fmt: skip
        axes.set_yticks(range(len(shown)), names, fontsize=8.5)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.grid(axis="x", color="#e6e6e6")
        axes.set_axisbelow(True)
        axes.set(xlabel="difference of accuracy, points (filled: shown, empty: not shown)")
        figure.suptitle(title, fontsize=11)
    return figure


def recall_figure(recalls: dict[str, np.ndarray], classes: Sequence[str], title: str) -> Figure:
    """The share of each class that each model finds, as numbers in coloured cells.

    Args:
        recalls: name -> recall of each class, float [K], NaN where a class has no test image.
        classes: names of the K classes.
        title: the data set.
    """
    names = list(recalls)[:MAX_ROWS]
    matrix = np.array([recalls[name] for name in names])
    cells = [["–" if np.isnan(value) else f"{100 * value:.0f}" for value in row] for row in matrix]
    figure = _table_figure(matrix, cells, names, list(classes), "Blues", (0, 1))
    figure.axes[0].set_title(f"{title}, %")
    return figure


def transfer_figure(matrix: np.ndarray, trained: Sequence[str], tested: Sequence[str], title: str) -> Figure:
    """Accuracy by what was trained on and what was tested; the truth of transfer is off the diagonal.

    Args:
        matrix: float [R, C], NaN where nothing was evaluated.
        trained: name of each row.
        tested: name of each column.
        title: what is shown.
    """
    cells = [["–" if np.isnan(value) else f"{100 * value:.1f}" for value in row] for row in matrix]
    figure = _table_figure(matrix, cells, trained, tested, "Blues", (0, 1))
    figure.axes[0].set(title=title, xlabel="tested on, accuracy in %", ylabel="trained on")
    return figure


def confusion_difference_figure(
    first: np.ndarray, second: np.ndarray, classes: Sequence[str], names: tuple[str, str], title: str
) -> Figure:
    """What the first model answers more often (purple) or less often (orange) than the second, in points of each row.

    Args:
        first: shares of each true class, float [K, K], truth by prediction.
        second: the same of the other model.
        classes: names of the K classes.
        names: of the two models.
        title: the data set.
    """
    points = 100 * (first - second)
    reach = max(1.0, float(np.nanmax(np.abs(points), initial=1.0)))
    cells = [["–" if np.isnan(v) else "·" if round(v, 1) == 0 else f"{v:+.1f}" for v in row] for row in points]
    figure = _table_figure(points, cells, list(classes), list(classes), "PuOr", (-reach, reach))
    heading = "\n".join(textwrap.wrap(f"{title}: {names[0]} minus {names[1]}, change in % of each true class", 64))
    figure.axes[0].set(title=heading, xlabel="predicted", ylabel="truth")
    return figure


def _table_figure(
    matrix: np.ndarray,
    cells: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    colours: str,
    limits: tuple[float, float],
) -> Figure:
    """Numbers in coloured cells."""
    wide = max((len(line) for row in rows for line in _wrapped(row).split("\n")), default=0)
    size = (2.2 + 0.07 * wide + 0.8 * len(columns), 1.9 + 0.45 * len(rows))
    with style():
        figure = Figure(figsize=(max(size[0], 5.0), size[1]), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(matrix, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
        for (row, column), value in np.ndenumerate(matrix):
            red, green, blue, _ = image.cmap(image.norm(value)) if not np.isnan(value) else (1, 1, 1, 1)
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
            axes.text(column, row, cells[row][column], ha="center", va="center", fontsize=9,
                      color="white" if dark else "#222222")  # fmt: skip
        axes.set_xticks(range(len(columns)), [_wrapped(name) for name in columns], rotation=40, ha="right",
                        rotation_mode="anchor")  # fmt: skip
        axes.set_yticks(range(len(rows)), [_wrapped(name) for name in rows])
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return figure


def _height(names: Sequence[str]) -> float:
    """Of rows with such names, inches."""
    return len(names) * (0.2 + 0.16 * max(name.count("\n") + 1 for name in names))


def _wrapped(name: str) -> str:
    lines = textwrap.wrap(name, LINE_LENGTH) or [""]
    return "\n".join(lines[:2] if len(lines) <= 2 else [lines[0], textwrap.shorten(" ".join(lines[1:]), LINE_LENGTH)])


def learning_figure(rows: Sequence[tuple[str, Sequence[Mapping[int, Mapping[str, float]]]]], title: str) -> Figure:
    """Validation accuracy and loss after each epoch, side by side: rows by colour, their seeds as thin lines.

    Args:
        rows: name, and of each seed epoch -> numbers by name, as `history.csv` has them.
        title: the data set.
    """
    with style():
        figure = Figure(figsize=(8.4, 3.4 + 0.22 * math.ceil(len(rows) / 2)), layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, name in zip(panels, ("accuracy", "loss"), strict=True):
            for index, (label, seeds) in enumerate(rows):
                colour, line = PALETTE[index % len(PALETTE)], ("-", "--", ":")[index // len(PALETTE) % 3]
                curves = [{n: each[f"val/{name}"] for n, each in h.items() if f"val/{name}" in each} for h in seeds]
                for curve in curves if len(curves) > 1 else ():
                    axes.plot(list(curve), list(curve.values()), color=colour, linewidth=0.6, alpha=0.5)
                shared = sorted(set.intersection(*map(set, curves))) if curves else []
                means = [float(np.mean([curve[epoch] for curve in curves])) for epoch in shared]
                marker = "o" if len(shared) <= MAX_MARKED_EPOCHS else None
                axes.plot(shared, means, line, color=colour, marker=marker, markersize=3, label=label)
            axes.set(xlabel="epoch", ylabel=f"validation {name}")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.grid(color="#ececec")
        panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        figure.suptitle(title, fontsize="medium")
        handles, names = panels[0].get_legend_handles_labels()
        wrapped = [textwrap.fill(name, 2 * LINE_LENGTH) for name in names]
        figure.legend(handles, wrapped, frameon=False, loc="outside lower center", ncols=2 if len(rows) > 1 else 1)
    return figure
