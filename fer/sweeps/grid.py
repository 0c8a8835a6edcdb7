"""From the overrides of a sweep to its list of jobs."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from fer.config.check import check_config
from fer.errors import ConfigError
from fer.runs.folder import RunFolder
from fer.runs.resume import NOT_SET, differences, in_words, may_change
from fer.runs.status import one_line
from fer.sweeps.compose import Compose
from fer.sweeps.names import job_name

CONFIG = "train"  # whose jobs these are
FOLD = "data.fold"
SEEDS = "seeds"  # how many; a key of sweeps, not of runs
# What a resumed run may change, but what gives another result
RESULT_KEYS = ("callbacks.best.", "callbacks.early_stopping.", "trainer.precision", "trainer.max_epochs")


@dataclass
class Job:
    """A run of a sweep.

    Args:
        name: path of its folder below that of the sweep.
        folder: of the run.
        overrides: of `conf/train.yaml`.
        error: why it cannot even start.
        config: resolved; None where it cannot be composed.
        folds_of: the folder in which its predictions are pooled with those of the other folds.
    """

    name: str
    folder: RunFolder
    overrides: list[str]
    error: str | None = None
    config: DictConfig | None = field(default=None, repr=False)
    folds_of: Path | None = None


def parse(arguments: Sequence[str], config_loader: Any = None) -> dict[str, Override]:
    """Overrides by key; a later one replaces an earlier one."""
    parser = OverridesParser.create(config_loader=config_loader)
    return {override.get_key_element(): override for override in parser.parse_overrides(list(arguments))}


def single_value(key: str, override: Override) -> str:
    """An override with one value, as it can be given again."""
    if override.is_delete():
        return str(override.input_line)
    return f"{key}={override.get_value_element_as_str()}"


def combinations(overrides: Mapping[str, Override]) -> list[dict[str, str]]:
    """All combinations of what is swept, each as key -> value.

    Raises:
        ConfigError: an interval, which has no list of values.
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
    sweep: Path,
    choices: Mapping[str, Any],
    load: Compose,
) -> Job:
    """The job of one combination.

    Args:
        varied: key -> value of what is swept.
        overrides: all of them.
        sweep: folder of the sweep.
        choices: Hydra's choices of config groups, for the name of a job that cannot be composed.
        load: from overrides to a config with the choices of groups in its `hydra` node.
    """
    given = [f"{key}={varied[key]}" if key in varied else single_value(key, value) for key, value in overrides.items()]
    own = {key: value for key, value in varied.items() if key != FOLD}
    try:
        config = load(given)
        job = Job(job_name(config.hydra.runtime.choices, config.get("seed"), own), RunFolder(sweep), given)
        job.config = run_config(config)
        OmegaConf.resolve(job.config)
        check_config(job.config, CONFIG, given, files=False)
    except Exception as error:  # of whatever kind, it fails this job alone
        chosen = {**choices, **varied}
        name, cause = job_name(chosen, varied.get("seed", "0"), own), str(error).partition("Config search path")[0]
        job = Job(name, RunFolder(sweep), given, error=one_line(cause))
    if FOLD in varied:
        job.name += f"_fold-{varied[FOLD]}"
    job.folder = RunFolder(sweep / job.name)
    return job


def run_config(config: DictConfig) -> DictConfig:
    """The config of a run, without what belongs to its sweep."""
    with open_dict(config):
        for key in ("hydra", SEEDS):
            config.pop(key, None)
    return config


def name_apart(jobs: Sequence[Job], sweep: Path) -> None:
    """Put the folds of one run below its folder if the sweep has all of them; give each job a folder of its own."""
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
        job.folder = RunFolder(sweep / job.name)


def check_finished(job: Job) -> None:
    """A finished run counts for this sweep only if its settings are the same; else the job gets an error."""
    if job.config is None or not job.folder.is_finished():
        return
    if changes := other_settings(job.folder, job.config, job.overrides):
        job.error = f"is finished with other settings: {one_line(changes)}; give another hydra.sweep.dir, or remove it"


def other_settings(folder: RunFolder, config: DictConfig, overrides: Sequence[str] = ()) -> str:
    """How the run in a folder differs from the one that is wanted, in words; empty if it does not.

    Keys that say where or how fast a run is computed do not count, and for an unfinished run neither do those that a
    resumed run may change. A key that only one of the two has belongs to another version of this project; it counts
    only if it was given, or stops the run early.

    Args:
        folder: of the run.
        config: of the wanted run.
        overrides: from which it was composed.
    """
    if not folder.is_run():
        return ""
    given = {key_of(override) for override in overrides}
    ignored = leaves_result if folder.is_finished() else may_change
    changed = {
        key: pair
        for key, pair in differences(folder.read_config(), config).items()
        if not (key == "folds" or ignored(key))
        and (NOT_SET not in pair or key in given or key.startswith("callbacks.early_stopping."))
    }
    return in_words(changed)


def key_of(override: str) -> str:
    """The key of an override as it was given."""
    return override.lstrip("+~").partition("=")[0]


def leaves_result(key: str) -> bool:
    """Whether a key may differ without another result of a finished run."""
    return may_change(key) and not key.startswith(RESULT_KEYS)
