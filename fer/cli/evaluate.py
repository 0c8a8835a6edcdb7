"""Evaluate trained models, one or an ensemble, on any data set; runs of all folds; or what another tool predicted."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fer.errors import ConfigError
from fer.evaluation.evaluate import evaluate_models
from fer.evaluation.evaluated_data import open_evaluated
from fer.evaluation.evaluation import KEYS_THAT_CHANGE_RESULTS
from fer.evaluation.folds import evaluate_folds, runs_of_folds
from fer.evaluation.foreign_predictions import evaluate_predictions
from fer.evaluation.trained_model import TrainedModel
from fer.files import new_folder, typeable
from fer.reporting.write import clear_evaluation, write_evaluation
from fer.runs.folder import BEST_CHECKPOINT, RunFolder
from fer.runs.naming import OTHER_TOOL, is_of_other_tool

NOT_REPEATED = ("checkpoint=", "hydra.", "figures=", "device=")  # overrides that metrics.json leaves out
WRITER_PATIENCE = 120  # seconds to wait for another evaluation that writes the same folder
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
    if cfg.predictions:
        return _evaluate_other_tool(cfg, folder, overrides)
    runs = runs_of_folds(cfg)
    models, evaluation = evaluate_folds(cfg, runs, overrides) if runs else evaluate_models(cfg, overrides)
    repeated = [each for each in overrides if not each.lstrip("+~").startswith(NOT_REPEATED)]
    evaluation = evaluation.with_metrics({"overrides": repeated})
    owners: list[Path | None] = [*(run.path for run in runs)] or [model.folder for model in models]
    if folder is None:
        folder = evaluation_folder(owners[0] if len(owners) == 1 else None, _name(models[0], evaluation.metrics))
    classifier = models[0].classifier if len(models) == 1 and not runs else None
    with RunFolder(folder).only_writer("another evaluation", timeout=WRITER_PATIENCE):
        clear_evaluation(RunFolder(folder))
        return write_evaluation(evaluation, RunFolder(folder), classifier=classifier, figures=cfg.figures)


def _evaluate_other_tool(cfg: DictConfig, folder: Path | None, overrides: Sequence[str]) -> dict[str, Any]:
    """Write what another tool predicted as a run, named by its file, which `compare.py` puts beside ours."""
    if cfg.checkpoint:
        raise ConfigError("give checkpoint= or predictions=, not both")
    if cfg.data.name is None:
        raise ConfigError(f"say which data {cfg.predictions} is of: data=NAME")
    file = Path(cfg.predictions)
    datamodule = open_evaluated(cfg, overrides, ())
    evaluation = evaluate_predictions(file, datamodule, cfg.split)
    run = RunFolder(folder or evaluation_folder(None, file.name))
    with run.only_writer("another evaluation", timeout=WRITER_PATIENCE):
        if not holds_other_tool(run):
            clear_evaluation(run)
        run.metrics_file.unlink(missing_ok=True)
        name = file.name.removesuffix(".gz").removesuffix(".csv")
        data = {**OmegaConf.to_container(cfg.data, resolve=True), "root": None, "source": None}  # type: ignore[dict-item]
        model = {"_target_": OTHER_TOOL, "backbone": name}
        run.write_config(OmegaConf.create({"model": model, "data": data, "seed": None}))
        return write_evaluation(evaluation, run, figures=cfg.figures)


def holds_other_tool(run: RunFolder) -> bool:
    """Whether a folder holds what another tool predicted, which may be written again."""
    return run.is_run() and is_of_other_tool(run.read_config())


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
    return new_folder(OUTPUTS / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))
