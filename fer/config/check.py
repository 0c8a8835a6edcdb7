"""Check a composed config before anything heavy is imported: values against the table of keys, and added keys."""

import glob
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fer.config.keys import EXPORTS, HYDRA, REQUIRED, SHIPPED, rule_of, rules_of
from fer.config.rules import Rule, nearest
from fer.config.signatures import parameters_of
from fer.errors import ConfigError, DataError, RunError

OURS = "fer."
ANY_OPTIMIZER = "optimizer"  # the keys in the table mean the same for all of torch's
WEIGHTS = {".safetensors", ".pth", ".pt", ".bin", ".ckpt"}  # a name that ends so is a file
LOWER_IS_BETTER = ("loss",)
FREE_NODES = ("hydra", "callbacks", "logger")  # whose entries have names of one's own


def check_config(cfg: DictConfig, command: str, overrides: Sequence[str] = (), files: bool = True) -> None:
    """Refuse what cannot work.

    Args:
        cfg: as a command composes it; its `hydra` node too, where it has one.
        command: `train`, `evaluate`, …: the name of its config.
        overrides: of the command line.
        files: whether files that are named must exist; a job of a sweep may name what an earlier one will write.

    Raises:
        FERError: in one line; the key, its value, and what it may be.
    """
    for key, question in REQUIRED.get(command, {}).items():
        if not cfg.get(key):
            raise ConfigError(question)
    if command == "evaluate" and not cfg.get("checkpoint") and not cfg.get("predictions"):
        raise ConfigError("give checkpoint=RUN_OR_CKPT: a run folder or a checkpoint, or several as [A,B,C] to vote")
    content = resolved(cfg)
    _check_added_keys(content, overrides)
    rules = rules_of(command)
    for key, value in leaves(content):
        rule = rule_of(key, rules)
        if rule is not None and _is_ours(key, content) and not rule.accepts(value):
            raise ConfigError(refusal(key, value, rule))
    _check_together(content, command)
    if files:
        _check_files(content, command)


def check_hydra(hydra: Any) -> None:
    """Refuse what cannot work of Hydra's own config, such as `hydra.sweeper.retries=-1`."""
    for key, rule in HYDRA.items():
        value = OmegaConf.select(hydra, key.removeprefix("hydra."), default=None)
        if value is not None and not rule.accepts(value):
            raise ConfigError(refusal(key, value, rule))


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """A config as plain values, without Hydra's node.

    Raises:
        ConfigError: an interpolation that leads nowhere.
    """
    try:
        own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]) if "hydra" in cfg else cfg
        content = OmegaConf.to_container(own, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {' '.join(str(error.msg or error).split())}") from error
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Key and value of all that is no node of others."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def refusal(key: str, value: Any, rule: Rule) -> str:
    """`key=value: give ...`, with what was probably meant."""
    meant = nearest(value, rule.choices) if isinstance(value, str) else None
    if isinstance(value, list):
        others = [word for word in value if isinstance(word, str) and word not in rule.choices]
        meant = nearest(others[0], rule.choices) if others and rule.choices else None
    hint = f"did you mean {meant}? " if meant else ""
    return f"{key}={as_typed(value)}: {hint}give {rule.words}"


def as_typed(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(as_typed, value))}]"
    words = {None: "null", True: "true", False: "false", "": "''"}
    return words[value] if value is None or isinstance(value, bool) or value == "" else str(value)


def _is_ours(key: str, content: Mapping[str, Any]) -> bool:
    """Whether the table speaks of this key: classes of one's own may give other meanings to the same words."""
    group, _, rest = key.partition(".")
    if not rest or group in (ANY_OPTIMIZER, *FREE_NODES):
        module = content.get("module") or {}
        return not (rest.endswith((".monitor", ".tie")) and not _target(module).startswith(OURS))
    target = _target(content.get(group) or {})
    return not target or target.startswith(OURS)


def _target(node: Any) -> str:
    return str(node.get("_target_", "")) if isinstance(node, dict) else ""


def _check_added_keys(content: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuse `+key=value` where nothing would read it; Hydra itself takes any.

    Raises:
        ConfigError: naming what was probably meant.
    """
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if not override.startswith("+") or key.startswith("hydra") or "/" in key or "@" in key:
            continue
        group, _, name = key.rpartition(".")
        first = key.partition(".")[0]
        if not group:
            if override.startswith("++") or not isinstance(content.get(key), dict):
                _refuse_added(override, key, content)
            continue
        node: Any = content
        for part in group.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        target = _target(node)
        if not target:
            if first not in FREE_NODES:
                _refuse_added(override, key, content)
            continue
        known = parameters_of(target)
        if known is not None and name not in known and not name.startswith("_"):
            meant = nearest(name, known)
            hint = f"did you mean {group}.{meant}?" if meant else f"it takes {', '.join(known) or 'nothing'}"
            raise ConfigError(f"{override}: {target} has no argument {name}; {hint}")


def _refuse_added(override: str, key: str, content: Mapping[str, Any]) -> None:
    from fer.config.explain import meant_key

    others = [name for name, _ in leaves(content) if name != key]
    meant = meant_key(key, [*others, *(name for name in content if name != key)])
    hint = f"did you mean {meant}={override.partition('=')[2]}?" if meant else "see --help for the keys that there are"
    raise ConfigError(f"{override}: nothing reads {key}; {hint}")


def _check_together(content: Mapping[str, Any], command: str) -> None:
    """What is wrong only beside another value.

    Raises:
        FERError: naming both.
    """
    data = content.get("data") or {}
    fold, folds = data.get("fold"), data.get("folds")
    if isinstance(folds, int) and isinstance(fold, int) and fold >= folds:
        raise ConfigError(f"data.fold={fold}: with data.folds={folds} the folds are 0 to {folds - 1}")
    if command == "train" and fold and not folds:
        raise ConfigError(f"data.fold={fold}, but data={data.get('name')} is not folded: give data.folds too")
    if command == "train":
        _check_model_is_chosen(content)
    for name, callback in (content.get("callbacks") or {}).items():
        monitor, mode = (callback.get(key) if isinstance(callback, dict) else None for key in ("monitor", "mode"))
        if monitor and mode and (mode == "max") == monitor.endswith(LOWER_IS_BETTER):
            right = "min" if mode == "max" else "max"
            raise ConfigError(f"callbacks.{name}.mode={mode}: {monitor} is better the other way; give mode={right}")
    if command == "export" and content["precision"] not in EXPORTS[content["format"]]:
        has = ", ".join(EXPORTS[content["format"]])
        raise ConfigError(f"precision={content['precision']}: format={content['format']} has {has}")


def _check_model_is_chosen(content: Mapping[str, Any]) -> None:
    """Raises ConfigError where no epoch could give the model that is tested."""
    trainer = content.get("trainer") or {}
    epochs, every = trainer.get("max_epochs"), trainer.get("check_val_every_n_epoch")
    if isinstance(epochs, int) and isinstance(every, int) and every > epochs:
        raise ConfigError(
            f"trainer.check_val_every_n_epoch={every}: with trainer.max_epochs={epochs} no epoch would be validated, "
            "and no model chosen"
        )
    if trainer.get("fast_dev_run"):
        raise ConfigError("trainer.fast_dev_run keeps no model to test; trainer=debug is as short, and does")
    callbacks = [_target(callback) for callback in (content.get("callbacks") or {}).values()]
    if not any("Checkpoint" in target and not target.endswith(".LastCheckpoint") for target in callbacks):
        raise ConfigError("no callbacks.best: it keeps the model that validation chooses, and that is tested")


def _check_files(content: Mapping[str, Any], command: str) -> None:
    weights = (content.get("model") or {}).get("weights")
    if command == "train" and isinstance(weights, str) and _is_ours("model.weights", content):
        path = Path(weights)
        if (path.suffix in WEIGHTS or len(path.parts) > 1) and not path.expanduser().exists():
            raise ConfigError(f"model.weights={weights} does not exist; give a path, imagenet or none")
    source = (content.get("data") or {}).get("source")
    if command == "prepare" and source and ":" not in source and not Path(source).exists():
        raise DataError(f"data.source={source} does not exist")
    for given in _paths(content.get("checkpoint")):
        if given not in SHIPPED and not Path(given).exists():
            raise ConfigError(f"checkpoint={given} does not exist: give a run folder, or a checkpoint")
    for given in _paths(content.get("runs")):
        if not Path(given).is_dir() and not glob.has_magic(given):
            raise RunError(f"runs={given}: no such folder")


def _paths(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given or [])
