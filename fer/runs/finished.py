"""Finished runs from their folders, unfinished ones with the reason. Nothing in a folder is executed."""

import csv
import glob
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from fer.errors import RunError
from fer.runs.folder import CONFIG, METRICS, RunFolder, best_checkpoint

PREDICTIONS, SUBJECTS, STATUS = "predictions.csv", "subjects.csv", "status.json"
COLUMNS = ["name", "label", "predicted", "loss"]  # then one of each class
SUBJECT = re.compile(r"(?:^|[/\\])(S\d{3})_\d{3}_\d{8}\.")  # CK+ says in each name who it is


@dataclass(frozen=True)
class Predictions:
    """A row per test image."""

    classes: list[str]
    names: np.ndarray  # str [N], each once
    labels: np.ndarray  # str [N]
    predicted: np.ndarray  # str [N]
    subjects: np.ndarray | None  # str [N]; None where somebody is unknown

    @cached_property
    def row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names.tolist())}


@dataclass(frozen=True)
class Run:
    """A finished run; ten folds that were pooled are one."""

    folder: Path
    name: str  # short, for people
    config: dict[str, Any]
    metrics: dict[str, Any]
    predictions: Predictions | None
    folds: list[Path] = field(default_factory=list)  # the pooled runs
    transfers: list[dict[str, Any]] = field(default_factory=list)  # metrics of evaluations on other data
    remarks: list[str] = field(default_factory=list)  # what could not be read

    @property
    def seed(self) -> Any:
        return self.config.get("seed")

    @property
    def finished_at(self) -> float:
        """Seconds since the epoch."""
        return (self.folder / METRICS).stat().st_mtime

    @property
    def classes(self) -> list[str]:
        """Names of the outputs."""
        if self.predictions is not None:
            return self.predictions.classes
        data = self.config["data"]
        return [str(name) for name in data.get("classes") or data.get("default_classes") or []]


@dataclass(frozen=True)
class Unfinished:
    """A run folder without results."""

    folder: Path
    name: str
    reason: str


def find_runs(places: Sequence[Path | str]) -> tuple[list[Run], list[Unfinished]]:
    """All runs in or under the places: run folders, folders of them at any depth, globs.

    Raises:
        RunError: a place that does not exist, or no run at all.
    """
    folders: dict[Path, None] = {}
    for place in places:
        for root in _expand(str(place)):
            folders |= dict.fromkeys(path.resolve() for path in run_folders(root))
    if not folders:
        raise RunError(
            f"no run in {', '.join(str(place) for place in places)}: a run folder holds {CONFIG}; "
            "train first: python scripts/train.py experiment=demo"
        )
    names = short_names(list(folders))
    found = [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]
    return [run for run in found if isinstance(run, Run)], [run for run in found if isinstance(run, Unfinished)]


def _expand(place: str) -> list[Path]:
    if Path(place).is_dir():
        return [Path(place)]
    matches = [Path(match) for match in sorted(glob.glob(place, recursive=True)) if Path(match).is_dir()]
    if not matches:
        raise RunError(f"runs={place}: no such folder")
    return matches


def run_folders(root: Path) -> Iterator[Path]:
    """Run folders from `root` down, in order; not those within a run, such as its folds."""
    for path, children, files in os.walk(root):
        folds = [name for name in children if re.fullmatch(r"fold\d+", name)]
        if CONFIG in files or any((Path(path) / name / CONFIG).exists() for name in folds):
            yield Path(path)
            children.clear()
        children[:] = sorted(name for name in children if not name.startswith("."))


def short_names(folders: Sequence[Path]) -> list[str]:
    """Paths below what all have in common."""
    if len(folders) == 1:
        return [folders[0].name]
    common = Path(os.path.commonpath([str(folder) for folder in folders]))
    return [folder.relative_to(common).as_posix() for folder in folders]


def read_run(folder: Path, name: str) -> Run | Unfinished:
    """A run folder as it stands."""
    folds = sorted(
        (path for path in folder.glob("fold*") if re.fullmatch(r"fold\d+", path.name) and path.is_dir()),
        key=lambda path: int(path.name[4:]),
    )
    try:
        config = _read_config(folder if (folder / CONFIG).exists() else folds[0])
    except (OSError, ValueError) as error:
        return Unfinished(folder, name, f"{CONFIG} cannot be read ({error})")
    if not (folder / METRICS).exists():
        return Unfinished(folder, name, _reason(folder, folds))
    try:
        metrics = _read_json(folder / METRICS)
    except (OSError, ValueError) as error:
        return Unfinished(folder, name, f"{METRICS} cannot be read ({error})")
    remarks: list[str] = []
    predictions = None
    try:
        predictions = read_predictions(folder)
    except (OSError, ValueError) as error:
        remarks.append(f"no paired comparison, for {PREDICTIONS} cannot be read ({error})")
    transfers = []
    for path in sorted(path for root in (folder, *folds) for path in root.glob(f"evaluations/*/{METRICS}")):
        try:
            transfers.append(_read_json(path))
        except (OSError, ValueError) as error:
            remarks.append(f"evaluations/{path.parent.name} cannot be read ({error})")
    return Run(folder, name, config, _filled(metrics, folder, folds), predictions, folds, transfers, remarks)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = OmegaConf.to_container(RunFolder(folder).read_config(), resolve=False)
    except RunError as error:
        raise ValueError(_one_line(error)) from error
    if not isinstance(config, dict) or not all(isinstance(config.get(part), dict) for part in ("data", "model")):
        raise ValueError("it is not the config of a run: it has no data and model")
    return {str(key): value for key, value in config.items()}


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


def _reason(folder: Path, folds: list[Path]) -> str:
    """Why there are no results."""
    if folds:
        done = sum((fold / METRICS).exists() for fold in folds)
        so_far = f"{done} of {len(folds)} started folds finished"
    else:
        so_far = "half trained" if (folder / "checkpoints" / "last.ckpt").exists() else "no checkpoint yet"
    try:
        status = _read_json(folder / STATUS)
    except (OSError, ValueError):
        status = {}
    if status.get("state") == "failed":
        return f"failed: {_one_line(status.get('cause') or 'cause unknown')}; {so_far}"
    return f"still running, or stopped: {so_far}"


def _filled(metrics: dict[str, Any], folder: Path, folds: list[Path]) -> dict[str, Any]:
    """What one pooled run lacks, from its folds: costs are the same in each, times add up, memory has a peak."""
    filled = dict(metrics)
    of_folds = []
    for fold in folds:
        try:
            of_folds.append(_read_json(fold / METRICS))
        except (OSError, ValueError):
            continue
    for key in ("train_seconds", "peak_memory_bytes", "parameters", "macs"):
        values = [found[key] for found in of_folds if is_number(found.get(key))]
        if not is_number(filled.get(key)) and values:
            filled[key] = sum(values) if key == "train_seconds" else max(values)
    checkpoint = next((path for path in map(best_checkpoint, (folder, *folds)) if path.exists()), None)
    filled["checkpoint_bytes"] = None if checkpoint is None else checkpoint.stat().st_size
    return filled


def is_number(value: Any) -> bool:
    """A finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def read_predictions(folder: Path) -> Predictions:
    """`predictions.csv`, and who is on each image where that is known.

    Raises:
        ValueError: not of the form that runs write.
    """
    with (folder / PREDICTIONS).open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if header[:4] != COLUMNS or len(header) < 5:
        raise ValueError(f"its columns are {','.join(header)[:80]}")
    if not rows or any(len(row) != len(header) for row in rows):
        raise ValueError("it has no rows" if not rows else "a row is short")
    names, labels, predicted = (np.array([row[column] for row in rows]) for column in range(3))
    if len(set(names.tolist())) < len(names):
        raise ValueError("an image stands in it twice")
    return Predictions(header[4:], names, labels, predicted, _subjects(folder, names.tolist()))


def _subjects(folder: Path, names: list[str]) -> np.ndarray | None:
    known: dict[str, str] = {}
    if (folder / SUBJECTS).exists():
        with (folder / SUBJECTS).open(encoding="utf-8", newline="") as file:
            known = {row["name"]: row["subject"] for row in csv.DictReader(file) if row.get("subject")}
    else:
        known = {name: match[1] for name in names if (match := SUBJECT.search(name))}
    return np.array([known[name] for name in names]) if all(name in known for name in names) else None


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())[:200]
