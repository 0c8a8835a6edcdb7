"""Write an evaluation: of a run after training, by `evaluate.py`, or of pooled folds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fer.errors import RunError
from fer.evaluation.deletion import deletion_check
from fer.evaluation.evaluation import Evaluation
from fer.models.classifier import ExpressionClassifier
from fer.reporting.cells import write_cells
from fer.reporting.console import print_evaluation
from fer.reporting.figure_table import FIGURES, draw_figures, save_figures
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
