"""From what is swept to the list of jobs."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from fer.errors import ConfigError
from fer.runs.folder import CONFIG, RunFolder, is_finished
from fer.runs.resume import NOT_SET, differences, in_words, may_change
from fer.runs.status import one_line
from fer.sweeps.names import job_name

Compose = Callable[[list[str]], DictConfig]
SEEDS = "seeds"  # how many; a key of sweeps, not of runs
# Of what a resumed run may change, what makes another result of it
LEARNED_BY = ("callbacks.best.", "callbacks.early_stopping.", "trainer.precision", "trainer.max_epochs")


@dataclass
class Job:
    """A run of a sweep.

    Args:
        name: its folder's, below that of the sweep.
        folder: of the run.
        overrides: of `conf/train.yaml`.
        error: why it cannot even start.
        config: resolved; None where it cannot be composed.
        folds_of: the folder in which its predictions are pooled with those of the other folds.
    """

    name: str
    folder: Path
    overrides: list[str]
    error: str | None = None
    config: DictConfig | None = field(default=None, repr=False)
    folds_of: Path | None = None


def parse(arguments: Sequence[str], config_loader: Any = None) -> dict[str, Override]:
    """Overrides by key; a later one takes the place of an earlier one."""
    parser = OverridesParser.create(config_loader=config_loader)
    return {override.get_key_element(): override for override in parser.parse_overrides(list(arguments))}


def fixed(key: str, override: Override) -> str:
    """An override of one value, as it can be given again."""
    if override.is_delete():
        return str(override.input_line)
    return f"{key}={override.get_value_element_as_str()}"


def combinations(overrides: Mapping[str, Override]) -> list[dict[str, str]]:
    """All combinations of what is swept, each as key -> value.

    Raises:
        ConfigError: an interval, in which there is no end of values.
    """
    swept: dict[str, list[str]] = {}
    for key, override in overrides.items():
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise ConfigError(f"{override.input_line}: an interval is for sweep=optuna; give values, or a range")
            swept[key] = list(override.sweep_string_iterator())
    return [dict(zip(swept, values, strict=True)) for values in itertools.product(*swept.values())]


def make_job(
    varied: Mapping[str, str],
    overrides: Mapping[str, Override],
    folder: Path,
    choices: Mapping[str, Any],
    load: Compose,
) -> Job:
    """The job of one combination.

    Args:
        varied: key -> value of what is swept.
        overrides: all of them.
        folder: of the sweep.
        choices: Hydra's, of config groups, where the job's own cannot be composed.
        load: from overrides to a config with its `hydra` node.
    """
    given = [f"{key}={varied[key]}" if key in varied else fixed(key, value) for key, value in overrides.items()]
    own = {key: value for key, value in varied.items() if not _is_folds(key)}
    try:
        config = load(given)
        job = Job(job_name(config.hydra.runtime.choices, config.get("seed"), own), folder, given)
        job.config = run_config(config)
        OmegaConf.resolve(job.config)
    except Exception as error:  # whatever composition raises is this job's own failure
        told = {**choices, **varied}
        job = Job(
            job_name(told, varied.get("seed", "0"), own),
            folder,
            given,
            error=one_line(str(error).partition("Config search path")[0]),
        )
    if folds := [value for key, value in varied.items() if _is_folds(key)]:
        job.name += f"_fold-{folds[0]}"
    job.folder = folder / job.name
    return job


def run_config(config: DictConfig) -> DictConfig:
    """The config of a run, without what belongs to its sweep."""
    with open_dict(config):
        for key in ("hydra", SEEDS):
            config.pop(key, None)
    return config


def name_apart(jobs: Sequence[Job], sweep: Path) -> None:
    """Put the folds of one run below it, where the sweep has all of them; give each job a folder of its own."""
    by_run: dict[str, list[Job]] = {}
    for job in jobs:
        if job.config is not None and "_fold-" in job.name:
            by_run.setdefault(job.name.rpartition("_fold-")[0], []).append(job)
    for run, folds in by_run.items():
        numbers = [job.config.data.fold for job in folds if job.config is not None]
        count = folds[0].config.data.folds if folds[0].config is not None else None
        if count and sorted(numbers) == list(range(count)):
            for job, number in zip(folds, numbers, strict=True):
                job.name, job.folds_of = f"{run}/fold{number}", sweep / run
    taken: dict[str, int] = {}
    for job in jobs:
        taken[job.name] = taken.get(job.name, 0) + 1
        if taken[job.name] > 1:
            job.name += f"-{taken[job.name]}"
        job.folder = sweep / job.name


def check_finished(job: Job) -> None:
    """A finished run counts for this sweep only where it had the very settings; else the job has an error."""
    if job.config is None or not is_finished(job.folder):
        return
    if told := other_settings(job.folder, job.config, job.overrides):
        job.error = f"is finished with other settings: {one_line(told)}; give another hydra.sweep.dir, or remove it"


def other_settings(folder: Path, config: DictConfig, overrides: Sequence[str] = ()) -> str:
    """Where the run that stands in a folder differs from the one that is wanted, in words; empty where it does not.

    What is done elsewhere or faster makes no other run of it; one that is not finished may be gone on with in all that
    a resumed run may change. A key that only one of them has is of another version of this project, unless it was
    given, or stops the run early.

    Args:
        folder: of the run.
        config: that is wanted.
        overrides: what it was composed from.
    """
    if not (folder / CONFIG).exists():
        return ""
    saved = RunFolder(folder).read_config()
    given = {override.lstrip("+~").partition("=")[0] for override in overrides}
    passed_over = done_elsewhere if is_finished(folder) else may_change
    changed = {
        key: pair
        for key, pair in differences(saved, config).items()
        if not (key == "folds" or passed_over(key))
        and (NOT_SET not in pair or key in given or key.startswith("callbacks.early_stopping."))
    }
    return in_words(changed)


def done_elsewhere(key: str) -> bool:
    """Whether a key leaves what came of a finished run as it is."""
    return may_change(key) and not key.startswith(LEARNED_BY)


def _is_folds(key: str) -> bool:
    return key == "data.fold"
