"""The summary in the console that every evaluation ends with."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from fer.evaluation.metric_table import class_rows, result_rows
from fer.reporting.facts import NAMES, baseline_remark
from fer.reporting.groups import groups_table
from fer.runs.folder import RunFolder


def print_evaluation(metrics: Mapping[str, Any], folder: RunFolder, console: Console | None = None) -> None:
    """Print the metrics of each split, those of each class, the training in one line, and where the files are.

    Args:
        metrics: by the names of `metrics.json`.
        folder: that they were written to.
        console: None prints to standard output.
    """
    console = console or Console()
    splits = [split for split in NAMES if f"{split}/accuracy" in metrics]
    console.print()
    console.print(_table(["", *(NAMES[split] for split in splits)], result_rows("console", metrics, splits)))
    if rows := class_rows("console", metrics, splits[-1]):
        console.print()
        console.print(_table(rows[0], rows[1:]))
    console.print()
    if remark := baseline_remark(metrics, splits[-1]):
        console.print(remark, highlight=False, soft_wrap=True)
    if groups := groups_table(metrics, splits[-1]):
        for sentence, _ in groups["sentences"]:
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    if metrics.get("best_epoch") is not None:
        console.print(_training(metrics), highlight=False)
    for name, path in (
        ("report", folder.report_file),
        ("metrics", folder.metrics_file),
        ("per image", folder.predictions_file),
        ("figures", folder.figures),
        ("best model", folder.best_checkpoint),
    ):
        if path.exists():
            console.print(f"{name:<11}{path}", highlight=False, soft_wrap=True)
    if folder.tensorboard.exists():
        console.print(f"{'dashboard':<11}tensorboard --logdir {folder}", highlight=False, soft_wrap=True)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _training(metrics: Mapping[str, Any]) -> str:
    seconds, speed = metrics.get("train_seconds"), metrics.get("train_images_per_second")
    took = f"; {timedelta(seconds=round(seconds))} of training" if seconds else ""
    rate = f", {speed:,.0f} images/s" if speed else ""
    return f"best epoch {metrics['best_epoch']} (from 0){took}{rate}"
