"""Resuming a run: from which checkpoint, and under which config."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fer.errors import RunError
from fer.runs.choices import Choices
from fer.runs.folder import RunFolder

log = logging.getLogger(__name__)

# Keys that a resumed run may change; every other value is in the state that the checkpoint holds, or decides results.
# Key -> the value that leaves the choice to the start of a run, whose config.yaml then says what was chosen
CHOSEN_AT_START = {"model.stem": "auto", "trainer.threads": None}
MAY_CHANGE = (
    "resume",
    "jobs",
    "figures",
    "callbacks",
    "logger",
    "data.source",
    "data.root",
    "data.eval_batch_size",
    "data.residency",
    "module.compile",
    "module.channels_last",
    "trainer.accelerator",
    "trainer.precision",
    "trainer.matmul_precision",
    "trainer.max_epochs",
    "trainer.benchmark",
    "trainer.deterministic",
    "trainer.log_every_n_steps",
    "trainer.enable_model_summary",
    "trainer.detect_anomaly",
)


class _NotSet:
    """The value of a key that a config does not have."""

    def __repr__(self) -> str:
        return "not set"


NOT_SET = _NotSet()
Changes = Mapping[str, tuple[Any, Any]]  # key -> (saved value, wanted value)


def checkpoint_to_resume(cfg: DictConfig, folder: os.PathLike[str]) -> Path | None:
    """The checkpoint from which this run resumes; None for a fresh run.

    An unfinished run in the folder is resumed without `resume=` too, so that the same command can be given again.

    Args:
        cfg: of the command.
        folder: of the run.

    Raises:
        RunError: `resume` names nothing that can be resumed.
    """
    checkpoint = _named_checkpoint(cfg, RunFolder(folder))
    if checkpoint is not None and cfg.resume is not None and not _has_optimizer(checkpoint):
        raise _no_run(cfg, checkpoint)
    return checkpoint


def check_resume(cfg: DictConfig, folder: os.PathLike[str], overrides: Sequence[str]) -> None:
    """What can be said of `resume=` before anything heavy is imported.

    Raises:
        RunError: it names nothing that can be resumed, or something else on the command line contradicts it.
    """
    if cfg.resume is not None and _named_checkpoint(cfg, RunFolder(folder)) is not None:
        _wanted(cfg, folder, overrides)


def _named_checkpoint(cfg: DictConfig, run: RunFolder) -> Path | None:
    """The checkpoint to resume from, by the names of files alone."""
    if cfg.resume is None:
        return run.last_checkpoint if run.last_checkpoint.exists() and run.is_run() else None
    given = Path(cfg.resume)
    is_file = given.suffix == run.last_checkpoint.suffix
    checkpoint = given if is_file else RunFolder(given).last_checkpoint
    if not checkpoint.exists():
        raise RunError(f"resume={cfg.resume}: there is no {checkpoint} to resume from")
    if RunFolder.of_checkpoint(checkpoint) is None:
        raise _no_run(cfg, checkpoint)
    if not run.is_run():
        raise RunError(f"resume={cfg.resume}: {run} holds no {run.config_file.name}, so it is no run folder")
    return checkpoint


def _no_run(cfg: DictConfig, checkpoint: Path) -> RunError:
    return RunError(
        f"resume={cfg.resume}: {checkpoint.name} holds weights alone, or lies in no run folder; give the folder of "
        "the run, or begin a new one from these weights: model.weights=PATH"
    )


def _has_optimizer(checkpoint: Path) -> bool:
    """Whether a checkpoint holds the optimizer's state; a damaged one is reported where it is loaded."""
    import torch  # heavy, and sweeps use other functions of this module alone

    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    except Exception:
        return True
    return isinstance(content, dict) and "optimizer_states" in content


def resumed_config(cfg: DictConfig, folder: os.PathLike[str], overrides: Sequence[str]) -> DictConfig:
    """The config of a resumed run.

    With `resume=` it is the run's own, with the single values that the command line changes; else that of the
    command, which may differ from the run's own only in what may change.

    Raises:
        RunError: naming each key that cannot change.
    """
    wanted, changes = _wanted(cfg, folder, overrides)
    for key, change in changes.items():
        if key != "resume":
            log.info("resumed with %s", in_words({key: change}))
    saved = RunFolder(folder).read_config()
    chosen = {key: word for key, word in CHOSEN_AT_START.items() if OmegaConf.select(wanted, key) == word}
    for key in chosen:
        if (value := OmegaConf.select(saved, key)) is not None:
            OmegaConf.update(wanted, key, value)
    return wanted


def _wanted(cfg: DictConfig, folder: os.PathLike[str], overrides: Sequence[str]) -> tuple[DictConfig, Changes]:
    """The config of a resumed run, and what differs from its own."""
    run = RunFolder(folder)
    saved = run.read_config()
    wanted = cfg if cfg.resume is None else with_overrides(saved, cfg, overrides, run.read_choices())
    changes = differences(saved, wanted)
    refused = {key: change for key, change in changes.items() if not may_change(key)}
    if refused:
        raise RunError(
            f"{folder} holds an unfinished run that cannot resume with {in_words(refused)}; "
            f"give another hydra.run.dir, or resume with its own settings: resume={folder}"
        )
    return wanted, changes


def may_change(key: str) -> bool:
    """Whether a resumed run may have another value of a key."""
    return any(key == allowed or key.startswith(f"{allowed}.") for allowed in MAY_CHANGE)


def differences(saved: DictConfig, wanted: DictConfig) -> dict[str, tuple[Any, Any]]:
    """Key -> (saved value, wanted value) of all values that differ; NOT_SET for a key that one of them lacks.

    An absent key equals null: another version of this project may not have had it.
    """
    before, after = _flat(saved), _flat(wanted)
    after |= {key: before[key] for key, word in CHOSEN_AT_START.items() if key in before and after.get(key) == word}
    pairs = {key: (before.get(key, NOT_SET), after.get(key, NOT_SET)) for key in [*before, *after]}
    absent = ((None, NOT_SET), (NOT_SET, None))
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and pair not in absent}


def in_words(changes: Changes) -> str:
    """`optimizer.lr=0.5 (was 0.003)`, separated by semicolons."""
    return "; ".join(f"{key}={after} (was {before})" for key, (before, after) in changes.items())


def _flat(cfg: DictConfig) -> dict[str, Any]:
    flat: dict[str, Any] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                walk(value, f"{path}.{key}" if path else str(key))
        else:
            flat[path] = node

    walk(OmegaConf.to_container(cfg, resolve=True), "")
    return flat


def with_overrides(
    saved: DictConfig, cfg: DictConfig, overrides: Sequence[str], choices: Choices | None = None
) -> DictConfig:
    """A saved config with the single values that the command line changes.

    Args:
        saved: of the run.
        cfg: of the command.
        overrides: of its command line. Choices of groups and values that the run was started with may be among them.
        choices: that the run was started with; None for runs that have no record of them.

    Raises:
        RunError: an override that is neither a single value nor what the run was started with.
    """
    wanted = saved.copy()
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key == "resume" or key.startswith("hydra"):
            continue
        if override.startswith("~") and may_change(key):
            parent, _, name = key.rpartition(".")
            OmegaConf.select(wanted, parent).pop(name, None)
            continue
        if not key.startswith("logger") and _is_as_started(override, saved, cfg, overrides, choices):
            continue
        value = OmegaConf.select(cfg, key)
        if key == "trainer":  # trainer=cpu: where a run is resumed may have another device than where it began
            value, key = cfg.trainer.accelerator, "trainer.accelerator"
        if key == "logger":
            OmegaConf.update(wanted, key, value, merge=False)
            continue
        if isinstance(value, DictConfig) or ("." not in key and not may_change(key)):
            own = choices.groups.get(key) if choices is not None else None
            raise RunError(
                f"{override}: a resumed run keeps its {key}{f' ({own})' if own else ''}; only single values such as "
                "trainer.max_epochs change"
            )
        OmegaConf.update(wanted, key, value)
    return wanted


def _is_as_started(
    override: str, saved: DictConfig, cfg: DictConfig, overrides: Sequence[str], choices: Choices | None
) -> bool:
    """Whether an override repeats what the run was started with."""
    key, _, value = override.lstrip("+~").partition("=")
    if choices is not None and key in choices.groups:
        return choices.groups[key] == value
    given = {other.lstrip("+~").partition("=")[0] for other in overrides} - {key}
    nodes = [OmegaConf.select(config, key) for config in (saved, cfg)]
    if all(isinstance(node, DictConfig) for node in nodes):
        saved, cfg, prefix = *nodes, f"{key}."
    elif any(node is not None for node in nodes):
        return bool(nodes[0] == nodes[1])
    else:  # an experiment, which sets keys anywhere
        prefix = ""
    changed = {f"{prefix}{name}" for name in differences(saved, cfg)}
    return all(name in given or name == "resume" for name in changed)
