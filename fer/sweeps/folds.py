"""`folds=all`: every fold of a data set as a run of its own, then their predictions as one result."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from fer.errors import ConfigError, RunError
from fer.files import replacing, write_json
from fer.runs.folder import CONFIG, RunFolder, is_finished, last_checkpoint, only_writer
from fer.runs.resume import with_overrides
from fer.runs.status import LOG, Status
from fer.sweeps.grid import Job, other_settings
from fer.sweeps.job import make_waiting, objective, train_apart
from fer.sweeps.stop import stopped_by_signals
from fer.sweeps.watch import Watch

ALL = "all"
COMMAND = "overrides.json"  # what the command line said, to go on with
OWN = ("resume", "folds", "data.fold")  # what the command itself decides for each fold
RETRIES = 1

log = logging.getLogger(__name__)


def fold_wise(cfg: DictConfig, folder: Path) -> bool:
    """Whether this run is one of all folds; if `folds=all` but the data has an official split, it is an ordinary one.

    Raises:
        ConfigError: another value of `folds`.
    """
    if _goes_on(cfg, folder):
        return True
    if cfg.folds not in (None, ALL):
        raise ConfigError(f"folds={cfg.folds}: give folds=all, or data.fold={cfg.folds} for a single one")
    if cfg.folds == ALL and not cfg.data.folds:
        log.info("folds=all: data=%s has a split of its own, so this is one run", cfg.data.name)
        cfg.folds = None
    return cfg.folds == ALL


def train_folds(cfg: DictConfig, folder: Path, overrides: Sequence[str], options: Sequence[str] = ()) -> float | None:
    """Train each fold in `fold0`, `fold1`, … of the run folder, skip finished ones, go on with others; pool them.

    Args:
        cfg: of the run.
        folder: of the run.
        overrides: what the command line said.
        options: of the command itself, such as `--config-dir`.

    Returns:
        Mean validation accuracy of the folds.

    Raises:
        RunError: a fold that stands with other settings; folds that failed, by name: the others are done.
        SystemExit: 130 and 143 where Ctrl-C and SIGTERM stopped it.
    """
    with only_writer(folder):
        if is_finished(folder):
            raise RunError(f"{folder} is finished already (metrics.json stands); give another hydra.run.dir")
        _check_standing(cfg, folder, overrides)
        options, overrides, count = _taken_up(cfg, folder, overrides, options)
        jobs = [_fold_job(folder, number, overrides) for number in range(count)]
        with stopped_by_signals(folder) as stop, Watch(count, Console(soft_wrap=True)) as watch:
            for job in jobs:
                if not is_finished(job.folder):
                    make_waiting(job.folder)
                    watch.follow([job])
                watch.ended(job, train_apart(job.folder, job.overrides, stop.asked, RETRIES, options))
                if _in_vain(jobs, watch.outcomes):
                    break
        if stop.status:
            log.warning("stopped; go on with: python scripts/train.py resume=%s", folder)
            raise SystemExit(stop.status)
        _raise_failures(jobs, watch.outcomes, folder)
        from fer.evaluation.folds import pool_folds

        pool_folds([job.folder for job in jobs], folder)
        scores = [score for job in jobs if (score := objective(job.folder)) is not None]
        return sum(scores) / len(scores) if scores else None


def _goes_on(cfg: DictConfig, folder: Path) -> bool:
    """Whether this is a run of all folds that is taken up by `resume=`."""
    return cfg.resume is not None and (folder / COMMAND).exists()


def _raise_failures(jobs: Sequence[Job], outcomes: Mapping[str, Status], folder: Path) -> None:
    """Name the folds that failed, together where the cause is one: a wrong key fails them all alike."""
    failed: dict[str, list[str]] = {}
    for job in jobs:
        if (status := outcomes.get(job.name)) and status.state == "failed":
            failed.setdefault(str(status.cause), []).append(job.name)
    if not failed:
        return
    number, untried = sum(map(len, failed.values())), len(jobs) - len(outcomes)
    told = "; ".join(f"{', '.join(names)}: {cause} (see {folder / names[0] / LOG})" for cause, names in failed.items())
    told += f"; the other {untried} were not tried" if untried else ""
    raise RunError(f"{number} of {len(jobs)} folds failed: {told}; go on with resume={folder}")


def _in_vain(jobs: Sequence[Job], outcomes: Mapping[str, Status]) -> bool:
    """Whether the first two folds failed for one cause that a user can mend: the others would too."""
    first = [outcomes[job.name] for job in jobs[:2] if job.name in outcomes]
    alike = len(first) == 2 and first[0].cause == first[1].cause
    return alike and all(status.state == "failed" and status.exit_status == 1 for status in first)


def _check_standing(cfg: DictConfig, folder: Path, overrides: Sequence[str]) -> None:
    """Folds that are trained, wholly or in part, are of the run that is wanted: else the pool would be of two.

    Raises:
        RunError: naming the fold, and what differs.
    """
    own = [override for override in overrides if _key(override) not in OWN]
    for standing in sorted(folder.glob("fold*/" + CONFIG)):
        if not (is_finished(standing.parent) or last_checkpoint(standing.parent).exists()):
            continue  # it failed before it had learned anything
        if _goes_on(cfg, folder):  # all else is as it was begun
            wanted = with_overrides(RunFolder(standing.parent).read_config(), cfg, own)
        else:
            wanted = cfg.copy()
            wanted.data.fold = int(standing.parent.name.removeprefix("fold"))
        if told := other_settings(standing.parent, wanted, overrides):
            raise RunError(
                f"{standing.parent} was trained with other settings: {told}; give another hydra.run.dir, or remove it"
            )


def _taken_up(
    cfg: DictConfig, folder: Path, overrides: Sequence[str], options: Sequence[str]
) -> tuple[list[str], list[str], int]:
    """Options, overrides and folds of a new run, or of the run to go on with, changed by what was said anew."""
    command = folder / COMMAND
    own = [override for override in overrides if _key(override) not in OWN]
    if _goes_on(cfg, folder):
        saved = RunFolder(folder).read_config()
        changed = {_key(override) for override in own}
        before = json.loads(command.read_text(encoding="utf-8"))
        begun = [word for word in before if word.startswith("--")]
        kept = [word for word in before if word not in begun and _key(word) not in changed]
        # Or the next resume would go back to how it was begun.
        _write_down(folder, with_overrides(saved, cfg, own), [*begun, *kept, *own])
        return begun, [*kept, *own], int(saved.data.folds)
    with open_dict(cfg):
        cfg.data.fold = 0
    _write_down(folder, cfg, [*options, *own])
    return list(options), own, int(cfg.data.folds)


def _write_down(folder: Path, config: DictConfig, command: Sequence[str]) -> None:
    with replacing(folder / CONFIG) as file:
        file.write(OmegaConf.to_yaml(config, resolve=True))
    write_json(folder / COMMAND, list(command))


def _fold_job(folder: Path, number: int, overrides: Sequence[str]) -> Job:
    name = f"fold{number}"
    return Job(name, folder / name, [*overrides, "folds=null", f"data.fold={number}"])


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]
