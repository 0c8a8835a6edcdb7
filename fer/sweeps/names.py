"""Names of sweeps and their jobs: short, and typed back without quotes."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from fer.files import typeable

MAX_NAME = 80  # characters of a folder's name
BRACKETS = "${}[]()'\""
LOCATION_KEYS = ("data.source", "data.root", "sweep", "jobs")  # keys that say where and how fast, not what is run


def job_name(choices: Mapping[str, Any], seed: Any, varied: Mapping[str, str]) -> str:
    """The folder of a sweep's job, as `resnet18_ckplus_seed0`, and every other key that the sweep varies.

    Args:
        choices: Hydra's choices of config groups.
        seed: of the job.
        varied: key -> value of what the sweep varies.
    """
    parts = [str(choices.get("model")), str(choices.get("data")), f"seed{seed}"]
    parts += [_key_and_value(key, value) for key, value in varied.items() if key not in ("model", "data", "seed")]
    return _short("_".join(typeable(part) for part in parts))


def sweep_name(chosen: str | None, overrides: Sequence[str]) -> str:
    """The folder of a sweep: the file that defines it, or the overrides of the command line.

    The same command has the same folder, so that it resumes there.

    Args:
        chosen: of the config group `sweep`.
        overrides: of the command line.
    """
    if chosen:
        return typeable(chosen)
    parts = []
    for override in as_given(overrides):
        key, _, value = override.partition("=")
        if key.lstrip("+~") not in LOCATION_KEYS:
            parts.append(value if key in ("model", "data") else _key_and_value(key, value))
    return _short("_".join(typeable(part) for part in parts)) or "sweep"


def as_given(overrides: Any) -> list[str]:
    """Overrides as they were given: interpolations in them are not resolved."""
    plain: Any = OmegaConf.to_container(overrides, resolve=False) if OmegaConf.is_config(overrides) else overrides
    return list(plain)


def _key_and_value(key: str, value: str) -> str:
    return f"{key.split('.')[-1].lstrip('+~')}-{value.strip(BRACKETS)}"


def _short(name: str) -> str:
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME - 9].rstrip('-_.')}_{digest}"
