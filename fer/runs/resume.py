"""Going on where a run stopped: from which checkpoint, and under which config."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fer.errors import RunError
from fer.runs.folder import CONFIG, RunFolder, last_checkpoint

log = logging.getLogger(__name__)

# What may differ from the run that is resumed; anything else is in the state that the checkpoint holds, or would
# make another run of it.
MAY_CHANGE = (
    "resume",
    "figures",
    "callbacks",
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
    """In place of the value of a key that a config has not."""

    def __repr__(self) -> str:
        return "not set"


NOT_SET = _NotSet()
ABSENT = ((None, NOT_SET), (NOT_SET, None))


def checkpoint_to_resume(cfg: DictConfig, folder: Path) -> Path | None:
    """The checkpoint that this run goes on from; None for a fresh run.

    A folder in which an unfinished run stands is gone on with, so that the same command can be given again.
    """
    if cfg.resume is None:
        unfinished = last_checkpoint(folder)
        return unfinished if unfinished.exists() and (folder / CONFIG).exists() else None
    given = Path(cfg.resume)
    checkpoint = given if given.suffix == ".ckpt" else last_checkpoint(given)
    if checkpoint.exists() and not (checkpoint.parent.name == "checkpoints" and _can_go_on(checkpoint)):
        raise RunError(
            f"resume={cfg.resume}: {checkpoint.name} holds weights alone, or lies in no run folder; give the folder of "
            "the run, or begin a new one from these weights: model.weights=PATH"
        )
    if not checkpoint.exists():
        raise RunError(f"resume={cfg.resume}: there is no {checkpoint} to go on from")
    if not (folder / CONFIG).exists():
        raise RunError(f"resume={cfg.resume}: {folder} holds no {CONFIG}, so it is no run folder")
    return checkpoint


def _can_go_on(checkpoint: Path) -> bool:
    """Whether a checkpoint has the state of the optimizer; one that cannot be read is told of where it is loaded."""
    import torch  # heavy, and sweeps ask this module for differences alone

    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    except Exception:
        return True
    return isinstance(content, dict) and "optimizer_states" in content


def resumed_config(cfg: DictConfig, folder: Path, overrides: Sequence[str]) -> DictConfig:
    """The config that a resumed run goes on with.

    With `resume=` it is the run's own, with those single values changed that were given anew; else that of the
    command, which must be the run's own but for what may change.

    Raises:
        RunError: naming each key that cannot change.
    """
    saved = RunFolder(folder).read_config()
    wanted = cfg if cfg.resume is None else with_overrides(saved, cfg, overrides)
    changes = differences(saved, wanted)
    refused = {key: change for key, change in changes.items() if not may_change(key)}
    if refused:
        told = "; ".join(_told(key, *change) for key, change in refused.items())
        raise RunError(
            f"{folder} holds an unfinished run that cannot go on with {told}; "
            f"give another hydra.run.dir, or go on with its own settings: resume={folder}"
        )
    for key, change in changes.items():
        if key != "resume":
            log.info("resumed with %s", _told(key, *change))
    return wanted


def may_change(key: str) -> bool:
    return any(key == allowed or key.startswith(f"{allowed}.") for allowed in MAY_CHANGE)


def differences(saved: DictConfig, wanted: DictConfig) -> dict[str, tuple[Any, Any]]:
    """Key -> (saved value, wanted value) of all values that differ; NOT_SET where one has no such key.

    That a key is absent or null is no difference: another version of this project may have had none.
    """
    before, after = _flat(saved), _flat(wanted)
    pairs = {key: (before.get(key, NOT_SET), after.get(key, NOT_SET)) for key in [*before, *after]}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and pair not in ABSENT}


def _told(key: str, before: Any, after: Any) -> str:
    return f"{key}={after} (was {before})"


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


def with_overrides(saved: DictConfig, cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A saved config with the single values that were given anew.

    Raises:
        RunError: something else than a single value was given.
    """
    wanted = saved.copy()
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key == "resume" or key.startswith("hydra."):
            continue
        if override.startswith("~") and may_change(key):
            parent, _, name = key.rpartition(".")
            OmegaConf.select(wanted, parent).pop(name, None)
            continue
        value = OmegaConf.select(cfg, key)
        if isinstance(value, DictConfig) or ("." not in key and not may_change(key)):
            raise RunError(
                f"{override}: a resumed run keeps its {key}; only single values such as trainer.max_epochs change"
            )
        OmegaConf.update(wanted, key, value)
    return wanted
