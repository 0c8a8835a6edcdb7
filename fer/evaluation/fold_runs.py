"""Runs of all folds asked anew: each fold's model, or the vote of several runs, on the people of its fold; pooled."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fer.errors import ConfigError, RunError
from fer.evaluation.evaluate import given_checkpoints, score
from fer.evaluation.folds import Fold, pool_read
from fer.evaluation.split_predictions import SplitPredictions
from fer.evaluation.trained_model import TrainedModel, is_run_of_folds, run_data
from fer.runs.folder import is_finished

log = logging.getLogger(__name__)

PROTOCOL = ("fold", "folds", "subject", "name", "pack")  # keys of the data that decide who is tested where
AS_IN_EACH = ("trained_on", "tta", "temperature_fitted_on", "image_size", "precision", "device")


def runs_of_folds(cfg: DictConfig) -> list[Path]:
    """The runs of all folds that `checkpoint` names; empty where it names models.

    Raises:
        ConfigError: both kinds, or a question that folds do not answer.
    """
    paths = [Path(path) for path in given_checkpoints(cfg)]
    runs = [path for path in paths if is_run_of_folds(path)]
    if not runs:
        return []
    if len(runs) < len(paths):
        single = next(path for path in paths if path not in runs)
        raise ConfigError(f"{runs[0]} holds a run of each fold and {single} does not: they cannot vote")
    if cfg.data.name is not None or cfg.split != "test":
        raise ConfigError(
            f"{runs[0]} holds a run of each fold, which together answer for their own test images alone: leave out "
            f"data= and split=, or give one of them, checkpoint={runs[0] / 'fold0'}"
        )
    return runs


def score_folds(
    cfg: DictConfig, runs: Sequence[Path], overrides: Sequence[str] = ()
) -> tuple[list[TrainedModel], SplitPredictions, dict[str, Any]]:
    """The models of the first fold, what all made of their test images, and the metrics; nothing is written.

    Args:
        cfg: as `conf/evaluate.yaml` composes it.
        runs: of all folds of the same data; several vote, fold by fold.
        overrides: what the command line said.

    Raises:
        FERError: see `score`; a fold that is not finished, `data.fold` given.
    """
    for override in overrides:
        if (key := override.lstrip("+~").partition("=")[0]).startswith(tuple(f"data.{name}" for name in PROTOCOL)):
            raise ConfigError(
                f"{key}= asks for other folds than {runs[0]} was trained on; for one of them give its run, "
                f"as checkpoint={runs[0] / 'fold0'}"
            )
    asked, count = cfg.copy(), _count(runs)
    models: list[TrainedModel] = []
    folds = []
    for number in range(count):
        asked.checkpoint = [str(run / f"fold{number}") for run in runs]
        of_fold, outcome, found = score(asked, overrides)
        log.info("fold %d of %d: %.1f %% of %d images", number, count, 100 * found["test/accuracy"], len(outcome))
        folds.append(_fold(of_fold[0], outcome, found))
        models = models or of_fold
    first = folds[0].metrics
    whole, metrics = pool_read(folds)
    metrics |= {name: first[name] for name in AS_IN_EACH}
    metrics |= {
        "checkpoint": str(runs[0]) if len(runs) == 1 else [str(run) for run in runs],
        "data": first["data"],
        "fold": None,
        "temperature": None,  # each fold has its own
    }
    return models, whole, metrics


def _fold(model: TrainedModel, outcome: SplitPredictions, metrics: dict[str, Any]) -> Fold:
    return Fold(
        folder=model.path,
        classes=outcome.classes,
        names=outcome.names,
        labels=outcome.labels,
        logits=outcome.logits,
        subjects=outcome.subjects,
        temperature=metrics["temperature"],
        metrics=metrics,
        data=model.data,
    )


def _count(runs: Sequence[Path]) -> int:
    """How many folds the runs have.

    Raises:
        ConfigError: their configs do not say.
        RunError: folds that are not finished.
    """
    of_runs = [run_data(run / "fold0") or {} for run in runs]
    data = of_runs[0]
    for run, other in zip(runs, of_runs, strict=True):
        if not other.get("folds"):
            raise ConfigError(f"{run / 'fold0'} does not say how many folds there are")
        if told := [
            f"{key} {data.get(key)} and {other.get(key)}" for key in PROTOCOL[1:] if data.get(key) != other.get(key)
        ]:
            raise ConfigError(f"{runs[0]} and {run} have {', '.join(told)}: they cannot vote")
    for run in runs:
        missing = [str(number) for number in range(data["folds"]) if not is_finished(run / f"fold{number}")]
        if missing:
            raise RunError(
                f"fold {', '.join(missing)} of {data['folds']} in {run} {'is' if len(missing) == 1 else 'are'} not "
                f"finished; go on with: python scripts/train.py resume={run}"
            )
    return int(data["folds"])
