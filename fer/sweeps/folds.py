"""`folds=all`: every fold of a data set as a run of its own, then their predictions as one result."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, open_dict
from rich.console import Console

from fer.errors import ConfigError, RunError
from fer.runs.choices import Choices
from fer.runs.folder import RunFolder
from fer.runs.resume import with_overrides
from fer.runs.status import Status
from fer.sweeps.grid import Job, key_of, other_settings
from fer.sweeps.job import make_waiting, objective, train_in_process
from fer.sweeps.process import StopFile, stopped_by_signals
from fer.sweeps.side_by_side import share_machine, side_by_side
from fer.sweeps.watch import Watch

ALL = "all"
SET_BY_US = ("resume", "folds", "data.fold")  # keys that this module sets for each fold
RETRIES = 1

log = logging.getLogger(__name__)


def is_run_of_folds(cfg: DictConfig, path: Path) -> bool:
    """Whether this is a run of all folds; `folds=all` on data with an official split is an ordinary run.

    Args:
        cfg: of the run; `folds` becomes None in an ordinary run.
        path: folder of the run.

    Raises:
        ConfigError: another value of `folds`.
    """
    if _resumes(cfg, RunFolder(path)):
        return True
    if cfg.folds not in (None, ALL):
        raise ConfigError(f"folds={cfg.folds}: give folds=all, or data.fold={cfg.folds} for a single one")
    if cfg.folds == ALL and not cfg.data.folds:
        log.info("folds=all: data=%s has a split of its own, so this is one run", cfg.data.name)
        cfg.folds = None
    return cfg.folds == ALL


def train_folds(
    cfg: DictConfig,
    path: Path,
    overrides: Sequence[str],
    options: Sequence[str] = (),
    choices: Choices | None = None,
) -> float | None:
    """Train each fold in `fold0`, `fold1`, … of the run folder, or resume it; skip finished ones; pool them.

    Args:
        cfg: of the run.
        path: folder of the run.
        overrides: of the command line.
        options: of the command itself, such as `--config-dir`.
        choices: what the run is started with, to be recorded.

    Returns:
        Mean validation accuracy of the folds.

    Raises:
        RunError: a fold was trained with other settings; or folds failed, by name: the others are done.
        SystemExit: 130 and 143 where Ctrl-C and SIGTERM stopped it.
    """
    folder = RunFolder(path)
    with folder.only_writer():
        folder.check_unfinished()
        _check_settings(cfg, folder, overrides)
        if choices is not None and not _resumes(cfg, folder):
            folder.write_choices(choices)
        options, overrides, config = _begin_or_resume(cfg, folder, overrides, options)
        jobs = [_fold_job(folder, number, overrides) for number in range(config.data.folds)]
        with stopped_by_signals(path) as stop, Watch(len(jobs), Console(soft_wrap=True)) as watch:
            _train_all(jobs, config, watch, stop, options)
        if stop.status:
            log.warning("stopped; resume with: python scripts/train.py resume=%s", folder)
            raise SystemExit(stop.status)
        _raise_failures(jobs, watch.outcomes, folder)
        from fer.evaluation.folds import pool_folds
        from fer.reporting.write import write_evaluation

        write_evaluation(pool_folds([job.folder for job in jobs]), folder)
        scores = [score for job in jobs if (score := objective(job.folder)) is not None]
        return sum(scores) / len(scores) if scores else None


def _train_all(jobs: Sequence[Job], config: DictConfig, watch: Watch, stop: StopFile, options: Sequence[str]) -> None:
    """Train the folds that are not finished, side by side, until all have ended or all would fail."""
    unfinished = [job for job in jobs if not job.folder.is_finished()]
    sharing = share_machine([config] * len(unfinished))

    def train(job: Job) -> Status:
        make_waiting(job.folder)
        watch.follow([job])
        return train_in_process(job.folder, job.overrides, stop.asked, RETRIES, options, sharing.cores)

    def first_fold_failed() -> bool:
        """So that the other of the first two says whether to try the rest."""
        ended = [watch.outcomes[job.name].state for job in jobs[:2] if job.name in watch.outcomes]
        return ended == ["failed"]

    for job in jobs:
        if job not in unfinished:
            watch.ended(job, Status("skipped"))
    for job, status in side_by_side(unfinished, train, sharing.at_once, hold=first_fold_failed):
        watch.ended(job, status)
        if _all_would_fail(jobs, watch.outcomes):
            break


def _resumes(cfg: DictConfig, folder: RunFolder) -> bool:
    """Whether `resume=` names a run of all folds."""
    return cfg.resume is not None and folder.overrides_file.exists()


def _raise_failures(jobs: Sequence[Job], outcomes: Mapping[str, Status], folder: RunFolder) -> None:
    """Name the folds that failed, grouped by cause: a wrong key fails them all alike."""
    failed: dict[str, list[Job]] = {}
    for job in jobs:
        if (status := outcomes.get(job.name)) and status.state == "failed":
            failed.setdefault(str(status.cause), []).append(job)
    if not failed:
        return
    number, untried = sum(map(len, failed.values())), len(jobs) - len(outcomes)
    causes = "; ".join(
        f"{', '.join(job.name for job in group)}: {cause} (see {group[0].folder.log_file})"
        for cause, group in failed.items()
    )
    causes += f"; the other {untried} were not tried" if untried else ""
    raise RunError(
        f"{number} of {len(jobs)} folds failed: {causes}; resume with: python scripts/train.py resume={folder}"
    )


def _all_would_fail(jobs: Sequence[Job], outcomes: Mapping[str, Status]) -> bool:
    """Whether the first two folds failed for the same cause, which a user can fix: the others would too."""
    first = [outcomes[job.name] for job in jobs[:2] if job.name in outcomes]
    alike = len(first) == 2 and first[0].cause == first[1].cause
    return alike and all(status.state == "failed" and status.exit_status == 1 for status in first)


def _check_settings(cfg: DictConfig, folder: RunFolder, overrides: Sequence[str]) -> None:
    """Make sure that folds which are trained, or partly trained, have the settings of this run.

    Raises:
        RunError: naming the fold, and what differs.
    """
    for fold in folder.folds():
        if not fold.is_run() or not (fold.is_finished() or fold.last_checkpoint.exists()):
            continue  # it failed before it had learned anything
        if _resumes(cfg, folder):  # only what was given anew can differ
            wanted = with_overrides(fold.read_config(), cfg, _of_user(overrides), fold.read_choices())
        else:
            wanted = cfg.copy()
            wanted.data.fold = fold.fold_number
        if changes := other_settings(fold, wanted, overrides):
            raise RunError(
                f"{fold} was trained with other settings: {changes}; give another hydra.run.dir, or remove it"
            )


def _begin_or_resume(
    cfg: DictConfig, folder: RunFolder, overrides: Sequence[str], options: Sequence[str]
) -> tuple[list[str], list[str], DictConfig]:
    """Options, overrides and config: of a new run, or of the resumed one with the values given anew."""
    own = _of_user(overrides)
    if not _resumes(cfg, folder):
        with open_dict(cfg):
            cfg.data.fold = 0
        folder.write_config(cfg)
        folder.write_overrides([*options, *own])
        return list(options), own, cfg
    saved, before = folder.read_config(), folder.read_overrides() or []
    changed = {key_of(override) for override in own}
    options = [word for word in before if word.startswith("--")]
    kept = [word for word in before if word not in options and key_of(word) not in changed]
    config = with_overrides(saved, cfg, own, folder.read_choices())
    folder.write_config(config)  # so that the next resume keeps the change
    folder.write_overrides([*options, *kept, *own])
    return options, [*kept, *own], config


def _of_user(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if key_of(override) not in SET_BY_US]


def _fold_job(folder: RunFolder, number: int, overrides: Sequence[str]) -> Job:
    fold = folder.fold(number)
    return Job(fold.name, fold, [*overrides, "folds=null", f"data.fold={number}"])
