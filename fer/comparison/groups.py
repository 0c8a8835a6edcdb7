"""Runs that differ in their seed alone are one row; what else they differ in is found and named briefly."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer.runs.finished import Run, is_number

# Keys that leave what is learned as it is, or that are told apart otherwise
IGNORED_KEYS = re.compile(
    r"seed|.*\.seed|resume|figures|logger(\..*)?|lr_find|folds|hydra\..*|sweep.*|experiment|seeds|"
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


@dataclass(frozen=True)
class Group:
    """One row of the comparison: a model as trained, on one data set."""

    model: str  # with what sets it apart, such as "ResNet-18 (weights=none)"
    backbone: str  # timm's name
    data: str  # with the fold, where one was tested alone
    data_name: str
    classes: list[str]
    runs: list[Run]  # one of each seed
    settings: dict[str, str]  # flat

    def values(self, key: str) -> list[float]:
        """The metric of all runs that have it."""
        return [float(run.metrics[key]) for run in self.runs if is_number(run.metrics.get(key))]

    def mean(self, key: str) -> float | None:
        values = self.values(key)
        return float(np.mean(values)) if values else None

    def spread(self, key: str) -> float | None:
        """Standard deviation over seeds; None where there is one."""
        values = self.values(key)
        return float(np.std(values, ddof=1)) if len(values) > 1 else None


def group_runs(runs: Sequence[Run]) -> tuple[list[Group], list[str]]:
    """Rows in the order of data set and cost, and remarks on runs that were left out."""
    settings = [flat_settings(run.config) for run in runs]
    names = model_names(runs)
    datasets, kept_apart = tested_apart(runs, data_names(runs))
    distinguishing = distinguishing_keys(settings, list(zip(names, datasets, strict=True)))
    rows: dict[tuple, list[int]] = defaultdict(list)
    for index in range(len(runs)):
        rows[names[index], datasets[index], tuple(sorted(settings[index].items()))].append(index)
    groups: list[Group] = []
    remarks: list[str] = kept_apart
    for (name, dataset, _), members in rows.items():
        kept, left_out = _one_of_each_seed([runs[index] for index in members])
        remarks += left_out
        first = members[0]
        data = runs[first].config["data"]
        beside = [settings[index] for index in range(len(runs)) if (names[index], datasets[index]) == (name, dataset)]
        label = _label(name, settings[first], distinguishing, beside)
        alike = sum(group.data == dataset and group.model.split(" #")[0] == label for group in groups)
        groups.append(
            Group(
                model=f"{label} #{alike + 1}" if alike else label,
                backbone=_backbone(runs[first]),
                data=dataset,
                data_name=str(data.get("name")),
                classes=runs[first].classes,
                runs=kept,
                settings=settings[first],
            )
        )
    groups.sort(key=lambda g: (g.data, g.mean("macs") or 0, g.mean("parameters") or 0, _natural(g.model)))
    return groups, remarks


def _label(name: str, own: dict[str, str], distinguishing: Sequence[str], beside: Sequence[dict[str, str]]) -> str:
    """The model's name with those distinguishing settings that differ among the rows beside it."""
    varying = [key for key in distinguishing if len({settings.get(key) for settings in beside}) > 1]
    said = ", ".join(filter(None, (short_setting(key, own) for key in varying)))
    return f"{name} ({said})" if said else name


def flat_settings(config: dict[str, Any]) -> dict[str, str]:
    """Settings that matter to what is learned, as dotted key -> text."""
    flat: dict[str, str] = {}

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


def model_names(runs: Sequence[Run]) -> list[str]:
    """ResNet-18 for resnet18.a1_in1k, unless other weights of the same network are there too."""
    backbones = [_backbone(run) for run in runs]
    tags: dict[str, set[str]] = defaultdict(set)
    for backbone in backbones:
        tags[backbone.split(".")[0]].add(backbone)
    names = []
    for backbone in backbones:
        base, _, tag = backbone.partition(".")
        pretty = re.sub(r"^resnet(\d+)$", r"ResNet-\1", base)
        names.append(f"{pretty}.{tag}" if tag and len(tags[base]) > 1 else pretty)
    return names


def _backbone(run: Run) -> str:
    model = run.config["model"]
    return str(model.get("backbone") or str(model.get("_target_")).rsplit(".", 1)[-1])


def data_names(runs: Sequence[Run]) -> list[str]:
    """What was tested, told apart where the fold or the classes differ."""
    plain = []
    for run in runs:
        data = run.config["data"]
        name = str(data.get("name"))
        if pooled := run.metrics.get("folds") or run.folds:
            name += f", {len(pooled)} folds"
        elif data.get("folds"):
            name += f", fold {data.get('fold')}"
        plain.append(name)
    sets: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for name, run in zip(plain, runs, strict=True):
        sets[name].add(tuple(run.classes))
    names = []
    for name, run in zip(plain, runs, strict=True):
        sizes = [len(classes) for classes in sets[name]]
        if len(sizes) > 1:
            alone = sizes.count(len(run.classes)) == 1
            name += f", {len(run.classes)} classes" if alone else f": {' '.join(run.classes)}"
        names.append(name)
    return names


def tested_apart(runs: Sequence[Run], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of data that tell apart what was tested on other images, by the digests that runs record.

    Runs of older versions record none. They go with the runs of their data where these are all alike.

    Args:
        runs: finished.
        names: of the data of each, as `data_names` gives them.

    Returns:
        The names, and remarks on what was kept apart.
    """
    digests = [(run.metrics.get("pack_sha256"), run.metrics.get("test/images_sha256")) for run in runs]
    told = list(names)
    remarks = []
    for name in dict.fromkeys(names):
        here = [index for index in range(len(runs)) if names[index] == name]
        known = list(dict.fromkeys(digests[index] for index in here if all(digests[index])))
        if len(known) < 2:
            continue
        part = 0 if len({pack for pack, _ in known}) > 1 else 1
        parts: dict[str, list[str]] = {}
        for index in here:
            digest = digests[index][part] if all(digests[index]) else None
            suffix = f"{('pack', 'test images')[part]} {digest[:8]}" if digest else "unknown pack"
            told[index] = f"{name}, {suffix}"
            parts.setdefault(suffix, []).append(runs[index].name)
        said = "; ".join(f"{suffix}: {', '.join(members)}" for suffix, members in parts.items())
        remarks.append(
            f"{name}: runs on {('packs', 'test images')[part]} of this name that differ by their digest are kept apart "
            f"({said}). Where they should be the same, check data.root and how the pack was made"
        )
    return told, remarks


def mixed_code(groups: Sequence[Group]) -> list[str]:
    """Remarks on rows whose seeds were not made by the same code, versions or number of threads."""
    remarks = []
    for group in groups:
        for key, what in (("commit", "commits"), ("versions", "versions"), ("threads", "numbers of threads")):
            values = sorted({str(run.metrics[key]) for run in group.runs if run.metrics.get(key) is not None})
            if len(values) > 1:
                shown = "; ".join(value[:12] if key == "commit" else value for value in values)
                remarks.append(f"{group.data}: the seeds of {group.model} are of different {what} ({shown})")
    return remarks


def distinguishing_keys(settings: Sequence[dict[str, str]], within: Sequence[tuple[str, str]]) -> list[str]:
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


def differing_keys(settings: Sequence[dict[str, str]], within: Sequence[tuple] | None = None) -> list[str]:
    """Keys with several values in one place."""
    values: dict[tuple, set[str | None]] = defaultdict(set)
    keys = sorted({key for setting in settings for key in setting})
    for place, setting in zip(within or [()] * len(settings), settings, strict=True):
        for key in keys:
            values[place, key].add(setting.get(key))
    differing = {key for (_, key), found in values.items() if len(found) > 1}
    return [key for key in keys if key in differing]


def without_arguments(keys: Sequence[str]) -> list[str]:
    """Of a part whose class differs, the class alone: its arguments are other ones anyway."""
    classes = {key.rpartition(".")[0] for key in keys if key.endswith("._target_")}
    return [key for key in keys if key.endswith("._target_") or key.split(".")[0] not in classes]


def _rank(key: str) -> tuple[int, str]:
    places = [place for place, start in enumerate(NAMING_KEYS) if key == start or key.startswith(f"{start}.")]
    return (places[0] if places else len(NAMING_KEYS), key)


def short_setting(key: str, settings: dict[str, str]) -> str:
    """As `lr=0.01`, `freeze=gradual`; empty where the run has no such key."""
    if key not in settings:
        return ""
    value = settings[key]
    *parents, last = key.split(".")
    if last == "_target_":
        return f"{parents[-1]}={value.rsplit('.', 1)[-1]}"
    if "/" in value or "\\" in value:
        folder = re.sub(r"[/\\]checkpoints[/\\][^/\\]*$", "", value.rstrip("/\\"))
        value = re.split(r"[/\\]", folder)[-1]  # of a path the end
    name = f"{parents[0]}.{last}" if parents and parents[0] not in ("model", "data", "optimizer", "trainer") else last
    return f"{name}={value}"


def _one_of_each_seed(runs: list[Run]) -> tuple[list[Run], list[str]]:
    """The newest run of each seed, for one seed run twice is no second opinion."""
    by_seed: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_seed[str(run.seed)].append(run)
    kept, remarks = [], []
    for seed in sorted(by_seed, key=_natural):
        *older, newest = sorted(by_seed[seed], key=lambda run: (run.finished_at, run.name))
        kept.append(newest)
        for run in older:
            remarks.append(f"{run.name} has the configuration and seed of {newest.name}, which is newer and counts")
    return kept, remarks


def _natural(text: str) -> list[tuple[int, str]]:
    """Sorts 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
