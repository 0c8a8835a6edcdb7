"""What a comparison found, and its numbers as rows of tables."""

import csv
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fer.comparison.groups import Group
from fer.comparison.networks import Cost
from fer.comparison.pairs import Difference, answers
from fer.comparison.people import ByPeople
from fer.comparison.statistics import Estimate
from fer.evaluation.evaluation import KEYS_THAT_CHANGE_RESULTS
from fer.evaluation.metric_table import shown_in
from fer.files import replacing
from fer.runs.finished import Run, Unfinished, is_number
from fer.runs.folder import BEST_CHECKPOINT
from fer.runs.naming import NAMED_ELSEWHERE, differences_table

SELECTED_BY = "val/accuracy"  # beside the metrics of the test


@dataclass(frozen=True)
class Entry:
    """A row of the comparison with all that is known of it."""

    group: Group
    accuracy: Estimate | None
    cost: Cost | None

    @property
    def parameters(self) -> float | None:
        return self.group.mean("parameters") or (self.cost.parameters if self.cost else None)

    @property
    def macs(self) -> float | None:
        return self.group.mean("macs") or (self.cost.macs if self.cost else None)


@dataclass(frozen=True)
class Comparison:
    entries: list[Entry]
    differences: list[Difference]
    unfinished: list[Unfinished]
    remarks: list[str]
    timed_on: str | None  # the machine; None where nothing was timed
    people: list[ByPeople] = field(default_factory=list)  # of the rows that know attributes of the people

    @property
    def data(self) -> list[str]:
        """The data sets, in order."""
        return list(dict.fromkeys(entry.group.data for entry in self.entries))

    def of(self, data: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.group.data == data]


def metric_keys() -> list[str]:
    """Names in `metrics.json` of what the tables of the comparison hold."""
    return [*(f"test/{metric.key}" for metric in shown_in("comparison")), SELECTED_BY]


def confusion(group: Group) -> np.ndarray | None:
    """Shares of each true class, float [K, K], truth by prediction, mean over seeds; NaN where a class is absent."""
    matrices = []
    for predictions in answers(group):
        place = {name: index for index, name in enumerate(group.classes)}
        matrix = np.zeros((len(place), len(place)))
        for label, predicted in zip(predictions.labels.tolist(), predictions.predicted.tolist(), strict=True):
            if label in place and predicted in place:
                matrix[place[label], place[predicted]] += 1
        support = matrix.sum(axis=1, keepdims=True)
        matrices.append(np.divide(matrix, support, out=np.full_like(matrix, np.nan), where=support > 0))
    return np.mean(matrices, axis=0) if matrices else None


def transfers(entries: Sequence[Entry]) -> tuple[np.ndarray, list[str], list[str]] | None:
    """Accuracy on other data: float [R, C], what was trained and on what, what was tested; None where nothing was."""
    columns: dict[str, None] = {}
    rows: list[tuple[str, dict[str, list[float]]]] = []
    for entry in entries:
        group = entry.group
        found: dict[str, list[float]] = {}
        for run in group.runs:
            for metrics in run.transfers:
                split = str(metrics.get("split", "test"))
                tested, value = str(metrics.get("data")), metrics.get(f"{split}/accuracy")
                again = tested == group.data_name and split == "test"
                if value is not None and is_number(value) and _is_plain(run, metrics, split) and not again:
                    found.setdefault(_tested(tested, split, metrics.get("fold")), []).append(value)
        if found:
            found[group.data] = group.values("test/accuracy")
            rows.append((f"{group.model}: {group.data}", found))
            columns |= dict.fromkeys([group.data, *found])
    if not rows:
        return None
    rows.sort(key=lambda row: row[0].rsplit(": ", 1)[0])  # the data sets of one model together
    names = sorted(columns)
    matrix = np.array([[np.mean(found[name]) if found.get(name) else np.nan for name in names] for _, found in rows])
    return matrix, [name for name, _ in rows], names


def _tested(data: str, split: str, fold: Any) -> str:
    """What an evaluation was of, as the comparison names data."""
    if split != "test":
        return f"{data}, all images"
    return data if fold is None else f"{data}, fold {fold}"


def _is_plain(run: Run, metrics: Mapping[str, Any], split: str) -> bool:
    """Whether an evaluation is of the run's best model, asked as in training, on images that it has not learned from.

    Where the data of training were not at hand it is unknown what was learned from, and data of another name count.
    """
    checkpoint = Path(str(metrics.get("checkpoint", "")))
    size, own_size = metrics.get("image_size"), run.config.get("data", {}).get("image_size")
    return (
        split in ("test", "all")
        and metrics.get("tta") in (None, "none")
        and not metrics.get("match_sharpness")  # an option of older versions, which changed the tested images
        and not metrics.get(f"{split}/images_trained_on")
        and not any(given.lstrip("+~").startswith(KEYS_THAT_CHANGE_RESULTS) for given in metrics.get("overrides") or [])
        and (checkpoint.suffix != ".ckpt" or checkpoint.name == BEST_CHECKPOINT)
        and (size is None or own_size is None or size == own_size)
    )


def write_rows(path: Path, entries: Sequence[Entry]) -> None:
    """`comparison.csv`: a row per model and data set, plain numbers, nothing where there is none."""
    rows = []
    for entry in entries:
        group = entry.group
        row: dict[str, object] = {
            "model": group.model,
            "backbone": group.backbone,
            "data": group.data,
            "seeds": len(group.runs),
            "accuracy_low": entry.accuracy and entry.accuracy.low,
            "accuracy_high": entry.accuracy and entry.accuracy.high,
        }
        for key in metric_keys():
            row |= {f"{key}_mean": group.mean(key), f"{key}_sd": group.spread(key)}
        row |= {
            "test_images": group.mean("test/images"),
            "parameters": entry.parameters,
            "macs": entry.macs,
            "checkpoint_bytes": group.mean("checkpoint_bytes"),
            "latency_ms": entry.cost and entry.cost.latency_ms,
            "images_per_second": entry.cost and entry.cost.images_per_second,
            "train_seconds_mean": group.mean("train_seconds"),
            "train_images_per_second_mean": group.mean("train_images_per_second"),
            "peak_memory_bytes_mean": group.mean("peak_memory_bytes"),
            "seed_list": " ".join(str(run.seed) for run in group.runs),
            "runs": " ".join(run.name for run in group.runs),
        }
        rows.append(row)
    _write_csv(path, rows)


def setting_differences(entries: Sequence[Entry]) -> list[tuple[str, list[str]]]:
    """Choices of config groups, then keys of the config, that differ between rows, each with its value for each row."""
    choices = [entry.group.runs[0].choices for entry in entries]
    trained = [bool(entry.group.settings) for entry in entries]  # and not by another tool
    groups = dict.fromkeys(name for found in choices if found is not None for name in found.groups)
    rows = []
    for name in groups:
        options = ["" if found is None else found.groups.get(name, "") for found in choices]
        if len(set(itertools.compress(options, trained))) > 1 and name not in NAMED_ELSEWHERE:
            rows.append((name, options))
    return [*rows, *differences_table([entry.group.settings for entry in entries])]


def write_settings(path: Path, entries: Sequence[Entry]) -> None:
    """`settings.csv`: a row for each choice or key that differs, a column for each row of the comparison."""
    names = [f"{entry.group.model}, {entry.group.data}" for entry in entries]
    found = setting_differences(entries)
    rows: list[dict[str, object]] = [{"setting": key, **dict(zip(names, values, strict=True))} for key, values in found]
    _write_csv(path, rows)


def write_differences(path: Path, differences: Sequence[Difference]) -> None:
    """`differences.csv`: a row per pair, in fractions."""
    rows: list[dict[str, object]] = [
        {
            "data": d.first.data,
            "better": d.first.model,
            "worse": d.second.model,
            "difference": d.estimate.value,
            "low": d.estimate.low,
            "high": d.estimate.high,
            "p": d.estimate.p,
            "p_holm": d.p_holm,
            "shown": d.shown,
            "smallest_shown": d.detectable,
            "images": d.images,
            "subjects": d.subjects,
            "seeds_better": d.seeds[0],
            "seeds_worse": d.seeds[1],
            **_of_others(d),
        }
        for d in differences
    ]
    _write_csv(path, rows)


def _of_others(difference: Difference) -> dict[str, object]:
    """Columns of the metrics beside the accuracy."""
    columns: dict[str, object] = {}
    for metric in shown_in("differences"):
        found = difference.others.get(metric.key)
        parts = {"": found and found.value, "_low": found and found.low, "_high": found and found.high}
        columns |= {f"{metric.key}{part}": value for part, value in parts.items()}
        columns[f"{metric.key}_p_holm"] = found and found.p
    return columns


def write_runs(path: Path, entries: Sequence[Entry]) -> None:
    """`runs.csv`: a row per run, for one's own analysis."""
    keys = [*metric_keys(), "best_epoch", "train_seconds", "train_images_per_second", "peak_memory_bytes", "device"]
    keys += ["pack_sha256", "test/images_sha256", "commit", "dirty", "versions", "threads"]
    rows: list[dict[str, object]] = [
        {"run": run.name, "model": entry.group.model, "data": entry.group.data, "seed": run.seed}
        | {key: run.metrics.get(key) for key in keys}
        for entry in entries
        for run in entry.group.runs
    ]
    _write_csv(path, rows)


def _write_csv(path: Path, rows: Sequence[dict[str, object]]) -> None:
    if not rows:
        path.unlink(missing_ok=True)  # of an earlier comparison
        return
    with replacing(path) as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.10g}" if isinstance(value, float) else value for key, value in row.items()})
