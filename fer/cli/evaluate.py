"""Evaluate trained models, one or an ensemble, on a split of any data set; or runs of all folds on their own."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fer.evaluation.evaluate import evaluate_models
from fer.evaluation.evaluation import KEYS_THAT_CHANGE_RESULTS
from fer.evaluation.folds import evaluate_folds, runs_of_folds
from fer.evaluation.trained_model import TrainedModel
from fer.files import typeable
from fer.reporting.write import clear_evaluation, write_evaluation
from fer.runs.folder import BEST_CHECKPOINT, RunFolder

NOT_REPEATED = ("checkpoint=", "hydra.", "figures=", "device=")  # overrides that metrics.json leaves out
OUTPUTS = Path("outputs/evaluations")  # of ensembles, and of checkpoints without a run folder


def evaluate(cfg: DictConfig, folder: Path | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Evaluate one checkpoint, or an ensemble of several, on a split, and write the results as a run folder has them.

    Runs of all folds are evaluated fold by fold, each model on the images that its fold left out, and pooled.

    Args:
        cfg: as `conf/evaluate.yaml` composes it.
        folder: to write into; None is `evaluations/DATA_SPLIT…` in the run's own folder, or one under
            `outputs/evaluations` for ensembles and for checkpoints without a run.
        overrides: the command line: its `data.` keys apply to a run's own data too.

    Returns:
        The content of `metrics.json`.

    Raises:
        FERError: anything a user can fix, in one line.
    """
    runs = runs_of_folds(cfg)
    models, evaluation = evaluate_folds(cfg, runs, overrides) if runs else evaluate_models(cfg, overrides)
    repeated = [each for each in overrides if not each.lstrip("+~").startswith(NOT_REPEATED)]
    evaluation = evaluation.with_metrics({"overrides": repeated})
    owners: list[Path | None] = [*(run.path for run in runs)] or [model.folder for model in models]
    if folder is None:
        folder = evaluation_folder(owners[0] if len(owners) == 1 else None, _name(models[0], evaluation.metrics))
    clear_evaluation(RunFolder(folder))
    classifier = models[0].classifier if len(models) == 1 and not runs else None
    write_evaluation(evaluation, RunFolder(folder), classifier=classifier, figures=cfg.figures)
    return evaluation.metrics


def _name(model: TrainedModel, metrics: dict[str, Any]) -> str:
    """`DATA_SPLIT`, and what differs from the evaluation of the best model as in its run."""
    own_fold = (model.data or {}).get("fold", 0) if model.trained_on == metrics["data"] else 0
    parts = {
        metrics["tta"]: metrics["tta"] != "none",
        f"fold{metrics['fold']}": metrics["fold"] not in (None, own_fold),
        f"{metrics['image_size']}px": metrics["image_size"] != model.classifier.image_size,
        model.path.stem: model.path.suffix == ".ckpt" and model.path.name != BEST_CHECKPOINT,
    }
    given = (override.lstrip("+~").partition("=") for override in metrics["overrides"])
    parts |= {
        f"{key.removeprefix('data.')}-{typeable(value).strip('-')}": key.startswith(KEYS_THAT_CHANGE_RESULTS)
        for key, _, value in given
    }
    return "_".join([f"{metrics['data']}_{metrics['split']}", *(part for part, differs in parts.items() if differs)])


def evaluation_folder(run: Path | None, name: str) -> Path:
    """Where an evaluation is written: in the run's folder, or in a new one."""
    if run is not None:
        return RunFolder(run).evaluation(typeable(name)).path
    new = OUTPUTS / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    number, folder = 2, new
    while folder.exists():
        folder, number = Path(f"{new}_{number}"), number + 1
    return folder
