"""Read finished runs for comparison; of unfinished ones, the reason. Nothing that a folder holds is executed."""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from omegaconf import OmegaConf

from fer.errors import RunError
from fer.runs.choices import Choices
from fer.runs.folder import RunFolder
from fer.runs.status import one_line, read_status
from fer.runs.tables import Predictions

Content = TypeVar("Content")


@dataclass(frozen=True)
class Run:
    """A finished run; ten folds that were pooled are one."""

    folder: Path
    name: str  # short, for people
    config: dict[str, Any]
    metrics: dict[str, Any]
    predictions: Predictions | None
    folds: list[RunFolder] = field(default_factory=list)  # the pooled runs
    transfers: list[dict[str, Any]] = field(default_factory=list)  # metrics of evaluations on other data
    remarks: list[str] = field(default_factory=list)  # what could not be read
    choices: Choices | None = None  # what was typed; None for runs of older versions

    @property
    def seed(self) -> Any:
        return self.config.get("seed")

    @property
    def finished_at(self) -> float:
        """Seconds since the epoch."""
        return RunFolder(self.folder).metrics_file.stat().st_mtime

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
    folders = [run.path for run in find_run_folders(places)]
    found = [read_run(folder, name) for folder, name in zip(folders, short_names(folders), strict=True)]
    return [run for run in found if isinstance(run, Run)], [run for run in found if isinstance(run, Unfinished)]


def find_run_folders(places: Sequence[Path | str]) -> list[RunFolder]:
    """Run folders in or under the places, each once, whatever their state.

    Raises:
        RunError: a place that does not exist, or no run at all.
    """
    folders: dict[Path, None] = {}
    for place in places:
        for root in _matches(str(place)):
            folders |= dict.fromkeys(folder.path.resolve() for folder in run_folders(root))
    if not folders:
        raise RunError(
            f"no run in {', '.join(str(place) for place in places)}: a run folder holds "
            f"{RunFolder('').config_file.name}; train first: python scripts/train.py experiment=demo"
        )
    return [RunFolder(folder) for folder in folders]


def _matches(place: str) -> list[Path]:
    if Path(place).is_dir():
        return [Path(place)]
    matches = [Path(match) for match in sorted(glob.glob(place, recursive=True)) if Path(match).is_dir()]
    if not matches:
        raise RunError(f"runs={place}: no such folder")
    return matches


def run_folders(root: Path) -> Iterator[RunFolder]:
    """Run folders from `root` down, in order; a run of all folds is one, without the folders of its folds."""
    for path, children, _ in os.walk(root):
        folder = RunFolder(path)
        if folder.is_run() or any(fold.is_run() for fold in folder.folds()):
            yield folder
            children.clear()
        children[:] = sorted(name for name in children if not name.startswith("."))


def short_names(folders: Sequence[Path]) -> list[str]:
    """Paths below the folder that they have in common."""
    if len(folders) == 1:
        return [folders[0].name]
    common = Path(os.path.commonpath([str(folder) for folder in folders]))
    return [folder.relative_to(common).as_posix() for folder in folders]


def read_run(path: Path, name: str) -> Run | Unfinished:
    """Read a run folder, whatever its state.

    Args:
        path: of the folder.
        name: short, for people.
    """
    folder = RunFolder(path)
    folds = folder.folds()
    remarks: list[str] = []

    def optional(read: Callable[[], Content], effect: str) -> Content | None:
        try:
            return read()
        except RunError as error:
            remarks.append(f"{effect}{_below(folder, error)}")
            return None

    try:
        config = _config(folder if folder.is_run() else folds[0])
        if not folder.is_finished():
            return Unfinished(path, name, _reason(folder, folds))
        metrics = folder.read_metrics()
    except RunError as error:
        return Unfinished(path, name, _below(folder, error))
    predictions = optional(folder.read_predictions, "no paired comparison: ")
    evaluations = [evaluation for run in (folder, *folds) for evaluation in run.finished_evaluations()]
    transfers = [optional(evaluation.read_metrics, "") for evaluation in evaluations]
    return Run(
        path,
        name,
        config,
        _with_costs(metrics, folder, folds),
        predictions,
        folds,
        [found for found in transfers if found is not None],
        remarks,
        optional(lambda: read_choices(folder), "named by its config: "),
    )


def read_choices(folder: RunFolder) -> Choices | None:
    """What was typed for a run, or for the first fold of a run of folds."""
    folds = folder.folds()
    own = folder.read_choices()
    found = own if own is not None or not folds else folds[0].read_choices()
    return None if found is None else found.without("folds", "data.fold")


def _below(folder: RunFolder, error: RunError) -> str:
    """An error about a file of a run, with the file's path within the run."""
    return str(error).replace(f"{folder}{os.sep}", "").replace(f"{folder} ", "it ")


def _config(folder: RunFolder) -> dict[str, Any]:
    config = OmegaConf.to_container(folder.read_config(), resolve=False)
    if not isinstance(config, dict) or not all(isinstance(config.get(part), dict) for part in ("data", "model")):
        raise RunError(f"{folder.config_file} is not the config of a run: it has no data and model")
    return {str(key): value for key, value in config.items()}


def _reason(folder: RunFolder, folds: Sequence[RunFolder]) -> str:
    """Why there are no results."""
    if folds:
        so_far = f"{sum(fold.is_finished() for fold in folds)} of {len(folds)} started folds finished"
    else:
        so_far = "half trained" if folder.last_checkpoint.exists() else "no checkpoint yet"
    status = read_status(folder)
    if status is not None and status.state == "failed":
        return f"failed: {one_line(status.cause or 'cause unknown')}; {so_far}"
    return f"still running, or stopped: {so_far}"


def read_learning_curve(run: Run) -> dict[int, dict[str, float]]:
    """Numbers of each epoch by name; of folds the means over those that reached it; empty where none can be read."""
    histories = []
    for folder in run.folds or [RunFolder(run.folder)]:
        try:
            histories.append(folder.read_history())
        except RunError:
            continue
    epochs = sorted({epoch for history in histories for epoch in history})
    curve: dict[int, dict[str, float]] = {}
    for epoch in epochs:
        reached = [history[epoch] for history in histories if epoch in history]
        names = dict.fromkeys(name for numbers in reached for name in numbers)
        curve[epoch] = {name: float(np.mean([each[name] for each in reached if name in each])) for name in names}
    return curve


def _with_costs(metrics: dict[str, Any], folder: RunFolder, folds: Sequence[RunFolder]) -> dict[str, Any]:
    """Metrics with the costs that pooled folds lack: sum of their seconds, largest memory, size of one network."""
    complete = dict(metrics)
    of_folds = []
    for fold in folds:
        try:
            of_folds.append(fold.read_metrics())
        except RunError:
            continue
    for key in ("train_seconds", "peak_memory_bytes", "parameters", "macs"):
        values = [found[key] for found in of_folds if is_number(found.get(key))]
        if not is_number(complete.get(key)) and values:
            complete[key] = sum(values) if key == "train_seconds" else max(values)
    checkpoint = next((run.best_checkpoint for run in (folder, *folds) if run.best_checkpoint.exists()), None)
    complete["checkpoint_bytes"] = None if checkpoint is None else checkpoint.stat().st_size
    return complete


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
