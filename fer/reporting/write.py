"""Write an evaluation, of a run after training, by `evaluate.py`, or of pooled folds; and sum it up in the console."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from fer.errors import RunError
from fer.evaluation.deletion import deletion_check
from fer.evaluation.evaluation import Evaluation
from fer.evaluation.metric_table import class_rows, result_rows
from fer.models.classifier import ExpressionClassifier
from fer.reporting.cells import write_cells
from fer.reporting.facts import NAMES, baseline_remark
from fer.reporting.figure_table import FIGURES, draw_figures, save_figures
from fer.reporting.groups import groups_table
from fer.reporting.report import write_report
from fer.reporting.training_figures import training_figure
from fer.runs.folder import RunFolder


def write_evaluation(
    evaluation: Evaluation,
    folder: RunFolder | Path,
    config: DictConfig | None = None,
    classifier: ExpressionClassifier | None = None,
    figures: bool = True,
    log_results: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Write everything that a run folder holds of an evaluation, `metrics.json` last, and print the summary.

    Args:
        evaluation: to write.
        folder: of the run or evaluation.
        config: of the run; None reads it from the folder, where it is a run.
        classifier: that made the predictions, for Grad-CAM; None for ensembles and pooled folds.
        figures: whether to draw any.
        log_results: called when the figures exist, before `metrics.json`: for the loggers of a run.

    Returns:
        The content of `metrics.json`.
    """
    folder = folder if isinstance(folder, RunFolder) else RunFolder(folder)
    if figures and classifier is not None:
        check, split = deletion_check(classifier, evaluation.predictions), evaluation.predictions.split
        evaluation = evaluation.with_metrics({f"{split}/{name}": value for name, value in check.items()})
    metrics = evaluation.metrics
    if evaluation.temperature is not None and evaluation.temperature_fitted_on is not None:
        folder.write_calibration(
            evaluation.temperature, evaluation.temperature_fitted_on, metrics, evaluation.set_threshold
        )
    folder.write_predictions(evaluation.predictions.table())
    if figures:
        drawn = draw_figures(evaluation.predictions, classifier)
        if metrics.get("best_epoch") is not None and folder.history_file.exists():
            drawn["training_curves"] = training_figure(folder.read_history(), metrics["best_epoch"])
        save_figures(drawn, folder.figures)
        write_cells(evaluation.predictions, folder.figures)
    if evaluation.folds:
        folder.write_folds(evaluation.folds)
    if log_results is not None:
        log_results()
    write_report(folder.path, metrics, config)
    folder.write_metrics(metrics)
    print_evaluation(metrics, folder)
    return metrics


def clear_evaluation(folder: RunFolder) -> None:
    """Remove an earlier evaluation, of which not every file may be written again; `metrics.json` first.

    Raises:
        RunError: a run is there.
    """
    if folder.is_run():
        raise RunError(f"{folder} holds a run, whose own results would be lost; give another hydra.run.dir")
    folder.remove_leftovers()
    of_images = (folder.subjects_file, folder.photographs_file, folder.groups_file)
    for file in (folder.metrics_file, folder.calibration_file, *of_images, folder.folds_file):
        file.unlink(missing_ok=True)
    for row in FIGURES:
        for figure in folder.figures.glob(f"{row.name}.*"):
            figure.unlink()
    for sheet in folder.figures.glob("cells/*-as-*.png"):
        sheet.unlink()
    if (cells := folder.figures / "cells").exists() and not any(cells.iterdir()):
        cells.rmdir()


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
