"""What sets runs apart, and its name: the same in the comparison, in TensorBoard and in reports.

Where all runs that stand beside each other have a record of what was typed (`fer.runs.choices`), that names them:
`augment=none, freeze=linear_probe`. Runs of older versions are told apart by as few keys of their configs as can be.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fer.runs.choices import Choices

# Keys that leave what is learned as it is, or that are told apart otherwise
IGNORED_KEYS = re.compile(
    r"seed|.*\.seed|resume|figures|logger(\..*)?|lr_find|folds|jobs|hydra\..*|sweep.*|experiment|seeds|"
    r"callbacks\.(?!best\.|early_stopping\.).*|"
    r"data\.(_target_|name|pack|source|root|residency|fold|folds|eval_batch_size|classes|default_classes)|"
    r"model\.backbone|module\.(_target_|compile|channels_last)|"
    r"trainer\.(_target_|accelerator|threads|strategy|benchmark|matmul_precision|deterministic|"
    r"log_every_n_steps|num_sanity_val_steps|enable_model_summary|detect_anomaly)"
)
# Of several keys that tell runs apart, the first of these gives the name
NAMING_KEYS = (
    "model.weights", "freeze._target_", "model.stem", "data.image_size", "optimizer._target_", "optimizer.lr",
    "trainer.max_epochs", "augment", "mix", "loss._target_", "scheduler._target_", "rates._target_", "data.batch_size",
)  # fmt: skip
NAMED_ELSEWHERE = ("model", "data", "trainer", "logger", "sweep", "hydra")  # groups that are no part of a label
MISSING = ""
OTHER_TOOL = "another tool"  # in place of the network, in the config of what it predicted


@dataclass(frozen=True)
class Setup:
    """What a run was trained with.

    Args:
        place: model and data, within which runs are told apart.
        settings: flat, see `flat_settings`.
        choices: as they were typed; None for runs of older versions.
    """

    place: tuple[str, str]
    settings: Mapping[str, str]
    choices: Choices | None

    def value(self, key: str) -> str:
        """Of a config group the option, of other keys the value; empty where there is none."""
        if self.choices is not None and key in self.choices.groups:
            return self.choices.groups[key]
        return self.settings.get(key, MISSING)


def labels(setups: Sequence[Setup]) -> list[str]:
    """Of each run what sets it apart from those of the same model and data, as `augment=none, lr=0.01`; or nothing."""
    found = [""] * len(setups)
    others = distinguishing_keys([setup.settings for setup in setups], [setup.place for setup in setups])
    for place in dict.fromkeys(setup.place for setup in setups):
        rows = [row for row, setup in enumerate(setups) if setup.place == place]
        beside = [setups[row] for row in rows]
        keys = varied(beside)
        if keys is None or not _tell_apart(beside, keys):
            keys = [*(keys or []), *(key for key in others if key not in (keys or []) and _differ(beside, key))]
        for row in rows:
            found[row] = ", ".join(filter(None, (short_setting(key, setups[row].value(key)) for key in keys)))
    return found


def varied(setups: Sequence[Setup]) -> list[str] | None:
    """Groups and keys that were typed for some run and differ among them; None where a run has no record."""
    typed: dict[str, None] = {}
    for setup in setups:
        if setup.choices is None:
            return None
        typed |= dict.fromkeys(setup.choices.typed)
    keys = [key for key in typed if key not in NAMED_ELSEWHERE and _counts(key, setups)]
    return sorted((key for key in keys if _differ(setups, key)), key=_rank)


def _counts(key: str, setups: Sequence[Setup]) -> bool:
    """Whether a typed key is one of a group, or of a setting that matters to what is learned."""
    return any(setup.choices is not None and key in setup.choices.groups for setup in setups) or any(
        key in setup.settings for setup in setups
    )


def _differ(setups: Sequence[Setup], key: str) -> bool:
    return len({setup.value(key) for setup in setups}) > 1


def _tell_apart(setups: Sequence[Setup], keys: Sequence[str]) -> bool:
    """Whether all that differ at all differ in these."""
    named = {tuple(setup.value(key) for key in keys) for setup in setups}
    return len(named) >= len({tuple(sorted(setup.settings.items())) for setup in setups})


def flat_settings(config: dict[str, Any]) -> dict[str, str]:
    """Settings that matter to what is learned, as dotted key -> text; none for what another tool predicted."""
    flat: dict[str, str] = {}
    if is_of_other_tool(config):
        return flat

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        elif not IGNORED_KEYS.fullmatch(prefix):
            flat[prefix] = re.sub(r"(seed|fold)[-_]?\d+", r"\1*", str(value))  # weights of the run of the same seed

    walk("", config)
    if config.get("lr_find"):
        flat["optimizer.lr"] = "found"  # by the range test of each run, whatever its config gave
    return flat


def is_of_other_tool(config: Mapping[str, Any]) -> bool:
    """Whether a config is that of what another tool predicted: nothing is known of how it was trained."""
    return (config.get("model") or {}).get("_target_") == OTHER_TOOL


def distinguishing_keys(settings: Sequence[Mapping[str, str]], within: Sequence[tuple[str, str]]) -> list[str]:
    """As few keys as tell apart all runs of one model and data set that differ at all."""
    differing = differing_keys(settings, within)
    everything = len({(place, tuple(sorted(s.items()))) for place, s in zip(within, settings, strict=True)})
    ranked = sorted(differing, key=_rank)
    chosen: list[str] = []

    def groups_by(keys: list[str]) -> int:
        return len({(place, *(s.get(key) for key in keys)) for place, s in zip(within, settings, strict=True)})

    while groups_by(chosen) < everything:
        best = max(ranked, key=lambda key: groups_by([*chosen, key]))  # of equals the first
        chosen.append(best)
    return sorted(chosen, key=_rank)


def differing_keys(settings: Sequence[Mapping[str, str]], within: Sequence[tuple] | None = None) -> list[str]:
    """Keys with several values in one place."""
    values: dict[tuple, set[str | None]] = defaultdict(set)
    keys = sorted({key for setting in settings for key in setting})
    for place, setting in zip(within or [()] * len(settings), settings, strict=True):
        for key in keys:
            values[place, key].add(setting.get(key))
    differing = {key for (_, key), found in values.items() if len(found) > 1}
    return [key for key in keys if key in differing]


def _rank(key: str) -> tuple[int, str]:
    places = [
        place
        for place, start in enumerate(NAMING_KEYS)
        if key == start or key.startswith(f"{start}.") or start.startswith(f"{key}.")
    ]
    return (places[0] if places else len(NAMING_KEYS), key)


def short_name(key: str) -> str:
    """`lr` for `optimizer.lr`, `loss.gamma` for `loss.gamma`, `freeze` for `freeze._target_`."""
    *parents, last = key.split(".")
    if last == "_target_":
        return parents[-1]
    return f"{parents[0]}.{last}" if parents and parents[0] not in ("model", "data", "optimizer", "trainer") else last


def short_value(value: str) -> str:
    """Of a path the end."""
    if "/" in value or "\\" in value:
        folder = re.sub(r"[/\\]checkpoints[/\\][^/\\]*$", "", value.rstrip("/\\"))
        value = re.split(r"[/\\]", folder)[-1]
    return value


def short_setting(key: str, value: str) -> str:
    """As `lr=0.01`, `freeze=gradual`; empty where the run has no such key."""
    if not value:
        return ""
    value = value.rsplit(".", 1)[-1] if key.endswith("._target_") else short_value(value)
    return f"{short_name(key)}={value}"


def differences_table(settings: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    """Keys of the config that differ among the runs that have one, each with its value for each run."""
    differing = sorted(differing_keys([own for own in settings if own]), key=_rank)
    return [(key, [own.get(key, MISSING) for own in settings]) for key in differing]
