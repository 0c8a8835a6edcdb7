"""Evaluate trained models, one or several voting, on a split of any data set; and runs of all folds."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fer.errors import RunError
from fer.evaluation.evaluate import score
from fer.evaluation.evaluation import KEYS_THAT_CHANGE_RESULTS
from fer.evaluation.fold_runs import runs_of_folds, score_folds
from fer.evaluation.folds import FOLDS, write_table
from fer.evaluation.report import CALIBRATION, SUBJECTS, write_calibration, write_outcome
from fer.evaluation.trained_model import TrainedModel
from fer.files import typeable, write_json
from fer.reporting.console import print_evaluation
from fer.reporting.figure_table import FIGURES, draw_figures, save_figures
from fer.reporting.report import write_report
from fer.runs.folder import CONFIG, METRICS

NOT_REPEATED = ("checkpoint=", "hydra.", "figures=", "device=")  # of a command line
PLACE = Path("outputs/evaluations")  # of votes, and of checkpoints without a run folder


def evaluate(cfg: DictConfig, folder: Path | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Score one checkpoint, or the vote of several, on a split, and write what a run folder says of its test.

    Runs of all folds are scored fold by fold, each model on the images that its fold left out, and pooled.

    Args:
        cfg: as `conf/evaluate.yaml` composes it.
        folder: to write into; None is `evaluations/DATA_SPLIT…` in the run's own folder, or one under
            `outputs/evaluations` for votes and for checkpoints without a run.
        overrides: what the command line said: its `data.` keys count for a run's own data too.

    Returns:
        The content of `metrics.json`.

    Raises:
        FERError: whatever a user can mend, in one line.
    """
    runs = runs_of_folds(cfg)
    models, outcome, metrics = score_folds(cfg, runs, overrides) if runs else score(cfg, overrides)
    owners: list[Path | None] = [*runs] or [model.folder for model in models]
    metrics["overrides"] = [each for each in overrides if not each.lstrip("+~").startswith(NOT_REPEATED)]
    folder = folder or evaluation_folder(owners[0] if len(owners) == 1 else None, _name(models, metrics))
    _clear(folder)
    if metrics["temperature"] is not None and metrics["temperature_fitted_on"] is not None:
        write_calibration(folder, metrics["temperature"], metrics["temperature_fitted_on"], metrics)
    write_outcome(folder, outcome)
    if cfg.figures:
        looked_into = models[0].classifier if len(models) == 1 and not runs else None
        save_figures(draw_figures(outcome, looked_into), folder / "figures")
    if runs:
        write_table(folder / FOLDS, metrics["folds"])
    write_report(folder, metrics)
    write_json(folder / METRICS, metrics)
    print_evaluation(metrics, folder)
    return metrics


def _name(models: Sequence[TrainedModel], metrics: dict[str, Any]) -> str:
    """`DATA_SPLIT`, and what sets the evaluation apart from that of the best model asked as in its run."""
    model, own = models[0], models[0].data or {}
    own_fold = own.get("fold", 0) if model.trained_on == metrics["data"] else 0
    apart = {
        metrics["tta"]: metrics["tta"] != "none",
        f"fold{metrics['fold']}": metrics["fold"] not in (None, own_fold),
        f"{metrics['image_size']}px": metrics["image_size"] != model.classifier.image_size,
        model.path.stem: model.path.suffix == ".ckpt" and model.path.name != "best.ckpt",
    }
    given = (override.lstrip("+~").partition("=") for override in metrics["overrides"])
    apart |= {
        f"{key.removeprefix('data.')}-{typeable(value).strip('-')}": key.startswith(KEYS_THAT_CHANGE_RESULTS)
        for key, _, value in given
    }
    return "_".join([f"{metrics['data']}_{metrics['split']}", *(what for what, holds in apart.items() if holds)])


def _clear(folder: Path) -> None:
    """Remove an earlier answer, of which not everything may be written anew; `metrics.json` first, it came last.

    Raises:
        RunError: a run stands there.
    """
    if (folder / CONFIG).exists():
        raise RunError(f"{folder} holds a run, whose own numbers would go; give another hydra.run.dir")
    for name in (METRICS, CALIBRATION, SUBJECTS, FOLDS):
        (folder / name).unlink(missing_ok=True)
    for row in FIGURES:
        for figure in (folder / "figures").glob(f"{row.name}.*"):
            figure.unlink()


def evaluation_folder(run: Path | None, name: str) -> Path:
    """Where an evaluation goes: into the run's folder, or a fresh one."""
    if run is not None:
        return run / "evaluations" / typeable(name)
    fresh = PLACE / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    number = 2
    folder = fresh
    while folder.exists():
        folder, number = Path(f"{fresh}_{number}"), number + 1
    return folder
