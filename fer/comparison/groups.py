"""Runs that differ in their seed alone are one row; what else they differ in is found and named briefly."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer.runs.finished import Run, is_number
from fer.runs.naming import Setup, flat_settings, labels


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
    names = model_names([run.config for run in runs])
    datasets, kept_apart = tested_apart(runs, data_names(runs))
    places = zip(names, datasets, strict=True)
    said = labels([Setup(place, own, run.choices) for place, own, run in zip(places, settings, runs, strict=True)])
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
        label = f"{name} ({said[first]})" if said[first] else name
        alike = sum(group.data == dataset and group.model.split(" #")[0] == label for group in groups)
        groups.append(
            Group(
                model=f"{label} #{alike + 1}" if alike else label,
                backbone=_backbone(runs[first].config),
                data=dataset,
                data_name=str(data.get("name")),
                classes=runs[first].classes,
                runs=kept,
                settings=settings[first],
            )
        )
    groups.sort(key=lambda g: (g.data, g.mean("macs") or 0, g.mean("parameters") or 0, _natural(g.model)))
    return groups, remarks


def model_names(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """ResNet-18 for resnet18.a1_in1k, unless other weights of the same network are there too."""
    backbones = [_backbone(config) for config in configs]
    tags: dict[str, set[str]] = defaultdict(set)
    for backbone in backbones:
        tags[backbone.split(".")[0]].add(backbone)
    names = []
    for backbone in backbones:
        base, _, tag = backbone.partition(".")
        pretty = re.sub(r"^resnet(\d+)$", r"ResNet-\1", base)
        names.append(f"{pretty}.{tag}" if tag and len(tags[base]) > 1 else pretty)
    return names


def _backbone(config: Mapping[str, Any]) -> str:
    model = config["model"]
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


def without_arguments(keys: Sequence[str]) -> list[str]:
    """Of a part whose class differs, the class alone: its arguments are other ones anyway."""
    classes = {key.rpartition(".")[0] for key in keys if key.endswith("._target_")}
    return [key for key in keys if key.endswith("._target_") or key.split(".")[0] not in classes]


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
