"""Figures of how a run is trained."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fer.reporting.figures import BLUE, GREY, ORANGE, STYLE

POINTS = 600  # of each curve


def training_figure(history: Mapping[int, Mapping[str, float]], best_epoch: int | None = None) -> Figure:
    """Loss and accuracy of training and validation after each epoch.

    Args:
        history: epoch -> numbers by name: train/loss, val/loss, train/accuracy, val/accuracy; any may be missing.
        best_epoch: to mark.
    """
    looks = (("train", "training", ORANGE, "--", "o"), ("val", "validation", BLUE, "-", "s"))
    few = len(history) <= 30
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.6), layout="constrained")
        for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            shown = (f"train/{name}", f"val/{name}")
            for split, label, colour, line, marker in looks:
                tag = f"{split}/{name}"
                epochs = [epoch for epoch, numbers in sorted(history.items()) if tag in numbers]
                values = [history[epoch][tag] for epoch in epochs]
                axes.plot(
                    epochs, values, line, color=colour, marker=marker if few else None, markersize=3.5, label=label
                )
                if split == "val" and best_epoch in epochs:
                    value = history[best_epoch][tag]
                    axes.axvline(best_epoch, color=GREY, linestyle=":", linewidth=1, zorder=0)
                    said = f"{value:.1%}" if name == "accuracy" else f"{value:.3f}"
                    best = f"best epoch, {best_epoch}: {said}"
                    axes.plot(best_epoch, value, "D", color="#222222", fillstyle="none", markersize=9, label=best)
            axes.set(xlabel="epoch", ylabel=name, xlim=(-0.5, max(history, default=0) + 0.5))
            highest = max((numbers[tag] for numbers in history.values() for tag in shown if tag in numbers), default=1)
            axes.set_ylim(0, 1.08 * highest or 1)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.grid(color="#ececec")
            axes.legend(frameon=False, fontsize=9)
            if name == "accuracy":
                axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


def schedule_figure(
    highest: Mapping[str, float],
    factor: Callable[[int], float],
    total_steps: int,
    phases: Sequence[tuple[int, Sequence[str]]],
    epochs: int,
) -> Figure:
    """Learning rate of each stage over the run, a gap where it is frozen; below, what is frozen when.

    Args:
        highest: stage -> its highest learning rate, from stem to head.
        factor: step -> factor of these learning rates.
        total_steps: of the run.
        phases: first epoch and trained stages of each phase.
        epochs: of the run.
    """
    steps = np.unique(np.linspace(0, total_steps - 1, POINTS).astype(int))
    at_epoch = steps / max(total_steps, 1) * epochs
    trained = {name: np.zeros(len(steps), dtype=bool) for name in highest}
    for index, (first, members) in enumerate(phases):
        end = phases[index + 1][0] if index + 1 < len(phases) else epochs
        for name in members:
            trained[name] |= (at_epoch >= first) & (at_epoch < end)
    names = list(highest)
    colours = matplotlib.colormaps["viridis"](np.linspace(0.05, 0.9, len(names)))
    alike = len(set(highest.values())) == 1
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.2 + 0.24 * len(names)), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 0.3 * len(names)))
        factors = np.array([factor(int(step)) for step in steps])
        shown = {name: trained[name] & (highest[name] * factors > 0) for name in names}
        for name, colour in zip(names, colours, strict=True):
            rates = np.where(shown[name], highest[name] * factors, np.nan)
            upper.plot(at_epoch, rates, color=BLUE if alike else colour, linewidth=1.6)
        upper.set(ylabel="learning rate", xlim=(0, epochs), title="Learning rate and frozen stages")
        if any(flags.any() for flags in shown.values()):  # nothing else has a logarithm
            upper.set_yscale("log")
        for row, (name, colour) in enumerate(zip(names, colours, strict=True)):
            lower.barh(row, epochs, color="#e3e3e3", height=0.8)
            for begin, finish in _spans(at_epoch, trained[name], epochs):
                lower.barh(row, finish - begin, left=begin, color=BLUE if alike else colour, height=0.8)
        lower.set_yticks(range(len(names)), names)
        lower.set(xlabel="epoch (grey: frozen)", ylim=(-0.6, len(names) - 0.4))
        lower.spines[:].set_visible(False)
        lower.tick_params(left=False)
    return figure


def _spans(at_epoch: np.ndarray, flags: np.ndarray, epochs: int) -> list[tuple[float, float]]:
    """Start and end of each run of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    positions = np.append(at_epoch, epochs)
    return [(positions[start], positions[end]) for start, end in edges.reshape(-1, 2)]


def range_test_figure(
    rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray, suggestions: dict[str, float | None]
) -> Figure:
    """Loss against learning rate, with the suggested rates.

    Args:
        rates: of each step, float [n], rising.
        losses: of each step, float [n].
        smoothed: the same, smoothed.
        suggestions: name -> rate.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(rates, losses, color=GREY, alpha=0.35, linewidth=1, label="loss of each step")
        axes.plot(rates, smoothed, color="#222222", linewidth=1.6, label="smoothed")
        for (name, rate), colour, marker in zip(suggestions.items(), (ORANGE, BLUE), ("s", "o"), strict=False):
            if rate is not None:
                loss = float(np.interp(np.log(rate), np.log(rates), smoothed))
                axes.plot(rate, loss, marker, color=colour, markersize=9, label=f"{name}: {rate:.1e}", linestyle="none")
        low, high = float(np.min(smoothed)), float(smoothed[0])
        margin = max(high - low, 0.1)
        axes.set(
            xscale="log", xlabel="learning rate of the head", ylabel="training loss", title="Learning-rate range test"
        )
        axes.set_ylim(low - 0.3 * margin, high + 0.8 * margin)
        axes.legend(frameon=False)
    return figure
