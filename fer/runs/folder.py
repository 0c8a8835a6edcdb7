"""The run folder: names and formats of its files, and who may write them. No other module spells a file name of a run.

Nothing heavy is imported here, for the commands ask it before they load torch; tables are read by `fer.runs.tables`.
"""

import errno
import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fer.errors import RunError
from fer.files import remove_leftovers, replacing, write_json
from fer.runs.choices import Choices
from fer.runs.renamed import is_removed, translated

if TYPE_CHECKING:
    from fer.runs.tables import Predictions

log = logging.getLogger(__name__)

BEST_CHECKPOINT, LAST_CHECKPOINT = "best.ckpt", "last.ckpt"
Content = TypeVar("Content")
Default = TypeVar("Default")


class RunFolder:
    """One folder of `outputs/`: of a run, of a run of all folds, or of an evaluation, which has the same files.

    What is read raises a RunError in one line where the file is damaged; where it is absent too, but for what is
    optional.

    Args:
        path: of the folder; it need not exist.
    """

    def __init__(self, path: os.PathLike[str] | str) -> None:
        self.path = path = Path(path)
        self.name = path.name
        self.config_file = path / "config.yaml"  # the resolved config; the run can be repeated from it
        self.metrics_file = path / "metrics.json"  # written last: where it exists, the run is finished
        self.predictions_file = path / "predictions.csv"
        self.subjects_file = path / "subjects.csv"  # who is on each image, where that is known
        self.groups_file = path / "groups.csv"  # attributes of the people, where those are known
        self.photographs_file = path / "photographs.csv"  # which images show the same photograph, where some do
        self.calibration_file = path / "calibration.json"  # the temperature, fitted on validation for best_checkpoint
        self.novelty_file = path / "novelty.txt"  # what training images look like to best_checkpoint's network
        self.history_file = path / "history.csv"  # what was logged of each epoch
        self.folds_file = path / "folds.csv"  # a row of metrics per fold, where folds were pooled
        self.report_file = path / "report.html"
        self.status_file = path / "status.json"  # of a sweep's job, see `fer.runs.status`
        self.log_file = path / "output.log"  # what the process of a job printed
        self.overrides_file = path / "overrides.json"  # command line of a run of all folds
        self.choices_file = (
            path / "choices.json"
        )  # config groups and values as they were chosen, see `fer.runs.choices`
        self.lr_find_file = path / "lr_find.json"  # result of the learning-rate range test
        self.lock_file = path / ".lock"  # held by the process that writes here
        self.figures = path / "figures"
        self.tensorboard = path / "tensorboard"
        self.evaluations = path / "evaluations"
        self.checkpoints = path / "checkpoints"
        self.best_checkpoint = self.checkpoints / BEST_CHECKPOINT
        self.last_checkpoint = self.checkpoints / LAST_CHECKPOINT

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def of_checkpoint(cls, checkpoint: Path | str) -> "RunFolder | None":
        """The run in whose `checkpoints/` a file lies; None for a checkpoint that lies elsewhere."""
        path = Path(checkpoint)
        folder = cls(path.parent.parent)
        return folder if path.parent == folder.checkpoints and path.suffix == folder.best_checkpoint.suffix else None

    def fold(self, number: int) -> "RunFolder":
        """The folder of one fold, in that of a run of all folds."""
        return RunFolder(self.path / f"fold{number}")

    @property
    def fold_number(self) -> int | None:
        """Which fold this is, by its name; None for other folders."""
        found = re.fullmatch(r"fold(\d+)", self.name)
        return int(found[1]) if found else None

    def folds(self) -> list["RunFolder"]:
        """Folders of the folds that exist, by number."""
        children = [RunFolder(path) for path in self.path.glob("fold*") if path.is_dir()]
        return sorted((c for c in children if c.fold_number is not None), key=lambda c: c.fold_number or 0)

    def evaluation(self, name: str) -> "RunFolder":
        """The folder of one evaluation of this run on other data, or by other views."""
        return RunFolder(self.evaluations / name)

    def finished_evaluations(self) -> list["RunFolder"]:
        """Evaluations of this run, by name."""
        found = [RunFolder(path) for path in sorted(self.evaluations.glob("*"))]
        return [evaluation for evaluation in found if evaluation.is_finished()]

    def is_run(self) -> bool:
        """Whether a run was started here; an evaluation is none."""
        return self.config_file.exists()

    def is_finished(self) -> bool:
        return self.metrics_file.exists()

    def check_unfinished(self) -> None:
        """Raises RunError where the run is finished."""
        if self.is_finished():
            raise RunError(f"{self} is finished already: {self.metrics_file.name} exists; give another hydra.run.dir")

    def is_run_of_folds(self) -> bool:
        """Whether a model of each fold is here, and none of the whole."""
        return not self.best_checkpoint.exists() and self.fold(0).best_checkpoint.exists()

    @contextmanager
    def only_writer(
        self,
        what: str = "another run",
        key: str = "hydra.run.dir",
        timeout: float = 0.2,
        keep: bool = True,
        file: str | None = None,
    ) -> Iterator[None]:
        """Lock the folder; the operating system frees it when the process ends, however it ends.

        Args:
            what: writes here, for the error.
            key: of the config that names another folder.
            timeout: seconds to wait for another process that holds the folder; one that only looks has it for a moment.
            keep: whether the file of the lock stays, as it must where several may wait for it.
            file: that is written, where others in the folder are not held; it is locked by one beside it.

        Raises:
            RunError: another process holds it.
        """
        import filelock  # takes longer to import than all other modules that commands load before they parse options

        self.path.mkdir(parents=True, exist_ok=True)
        lock_file = self.lock_file if file is None else self.path / f".{file}.lock"
        told = f"{self.path if file is None else self.path / file} is being written by {what}"
        lock_file.touch()
        lock = filelock.FileLock(lock_file, timeout=timeout, fallback_to_soft=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise RunError(f"{told}; wait for it, or give another {key}") from None
        except OSError as error:
            if error.errno == errno.EDEADLK:  # some file systems say so of a lock that another process holds
                raise RunError(f"{told}; wait for it, or give another {key}") from None
            log.warning("this file system has no locks (%s): make sure that only one run writes here", error.strerror)
        try:
            yield
        finally:
            lock.release()
            if not keep:
                with suppress(OSError):
                    lock_file.unlink()

    def remove_leftovers(self) -> None:
        """Remove what writers of this folder left that were killed; call it as the only writer."""
        remove_leftovers(self.path, self.checkpoints, self.figures, self.figures / "cells")

    def is_being_written(self) -> bool:
        """Whether a process holds the folder; where that cannot be known, yes."""
        import filelock

        if not self.lock_file.exists():
            return False
        try:
            with filelock.FileLock(self.lock_file, timeout=0, fallback_to_soft=False):
                return False
        except OSError:  # it is held, or there are no locks here
            return True

    def read_config(self) -> DictConfig:
        """The config of the run, as today's version would have written it (see `fer.runs.renamed`)."""
        return _read(self.config_file, _config)

    def write_config(self, config: DictConfig) -> None:
        with replacing(self.config_file) as file:
            file.write(OmegaConf.to_yaml(config, resolve=True))

    def read_metrics(self) -> dict[str, Any]:
        """Metrics by name, such as `test/accuracy`."""
        return _read(self.metrics_file, _object)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write this last: it says that the run is finished."""
        write_json(self.metrics_file, dict(metrics))

    def read_predictions(self) -> "Predictions":
        """`predictions.csv` with what is known of its images."""
        from fer.runs.tables import read_column, read_columns, read_predictions

        photographs = _read_optional(self.photographs_file, lambda file: read_column(file, "photograph"), None)
        groups = _read_optional(self.groups_file, read_columns, None)
        return _read(
            self.predictions_file, lambda file: read_predictions(file, self.read_subjects(), photographs, groups)
        )

    def write_predictions(self, predictions: "Predictions") -> None:
        """Write `predictions.csv`, and what is known of its images: `subjects.csv`, `photographs.csv`, `groups.csv`."""
        from fer.runs.tables import write_columns, write_predictions

        write_predictions(self.predictions_file, predictions)
        if predictions.subjects is not None:
            write_columns(self.subjects_file, predictions.names, {"subject": predictions.subjects})
        if predictions.photographs is not None:
            write_columns(self.photographs_file, predictions.names, {"photograph": predictions.photographs})
        if predictions.groups:
            write_columns(self.groups_file, predictions.names, predictions.groups)

    def read_subjects(self) -> dict[str, str] | None:
        """Subject by the name of the image; None where no file says so."""
        from fer.runs.tables import read_column

        return _read_optional(self.subjects_file, lambda file: read_column(file, "subject"), None)

    def read_temperature(self) -> float | None:
        """The temperature of the best checkpoint; None where none was fitted."""
        return _read_optional(self.calibration_file, _temperature, None)

    def read_set_threshold(self) -> float | None:
        """The threshold of prediction sets of the best checkpoint; None where none was fitted."""
        return _read_optional(self.calibration_file, _set_threshold, None)

    def write_calibration(
        self, temperature: float, fitted_on: str, metrics: Mapping[str, Any], set_threshold: float | None = None
    ) -> None:
        """Write the temperature, the threshold of prediction sets, on what both were fitted, and calibration errors."""
        errors = {name: metrics[name] for name in metrics if name.endswith(("/ece", "/ece_calibrated"))}
        write_json(
            self.calibration_file,
            {"temperature": temperature, "set_threshold": set_threshold, "fitted_on": fitted_on, **errors},
        )

    def read_novelty(self) -> str | None:
        """What tells how unlike the training images another face is, as text; None in runs of before 2026-11-28."""
        return _read_optional(self.novelty_file, lambda file: file.read_text(encoding="ascii"), None)

    def write_novelty(self, text: str) -> None:
        with replacing(self.novelty_file) as file:
            file.write(text)

    def read_history(self) -> dict[int, dict[str, float]]:
        """Logged numbers by epoch and name; empty where nothing was logged."""
        from fer.runs.tables import read_history

        return _read_optional(self.history_file, read_history, {})

    def write_folds(self, rows: Sequence[Mapping[str, Any]]) -> None:
        from fer.runs.tables import write_rows

        write_rows(self.folds_file, list(rows[0]), rows)

    def read_overrides(self) -> list[str] | None:
        """The command line of a run of all folds; None for other runs."""
        words = _read_optional(self.overrides_file, lambda file: [str(word) for word in _json(file)], None)
        return None if words is None else [word for word in words if not is_removed(word)]

    def write_overrides(self, overrides: Sequence[str]) -> None:
        write_json(self.overrides_file, list(overrides))

    def read_choices(self) -> Choices | None:
        """What the run was started with; None for runs of versions that did not record it."""
        return _read_optional(self.choices_file, lambda file: Choices.of_json(_object(file)), None)

    def write_choices(self, choices: Choices) -> None:
        write_json(self.choices_file, choices.to_json())

    def read_found_lr(self) -> float | None:
        """The learning rate that the range test found; None where none was run."""
        return _read_optional(self.lr_find_file, lambda file: float(_object(file)["used"]), None)

    def write_lr_find(self, result: Mapping[str, Any]) -> None:
        """Write the result of the range test; `used` is the learning rate that was found."""
        write_json(self.lr_find_file, dict(result))


def _read(file: Path, parse: Callable[[Path], Content]) -> Content:
    """A file's content.

    Raises:
        RunError: absent, or not of the form that `parse` wants.
    """
    try:
        return parse(file)
    except FileNotFoundError:
        raise RunError(f"{file.parent} has no {file.name}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} cannot be read ({' '.join(str(error).split())[:200]})") from error


def _read_optional(file: Path, parse: Callable[[Path], Content], default: Default) -> Content | Default:
    return _read(file, parse) if file.exists() else default


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _object(file: Path) -> dict[str, Any]:
    content = _json(file)
    if not isinstance(content, dict):
        raise ValueError("it holds no JSON object")
    return content


def _config(file: Path) -> DictConfig:
    try:
        config = OmegaConf.load(file)
    except (YAMLError, OmegaConfBaseException) as error:
        raise ValueError(error) from error
    if not isinstance(config, DictConfig):
        raise ValueError("it is not the config of a run")
    return translated(config)


def _temperature(file: Path) -> float:
    temperature = _object(file).get("temperature")
    if not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise ValueError(f"it holds no temperature: {temperature}")
    return float(temperature)


def _set_threshold(file: Path) -> float | None:
    threshold = _object(file).get("set_threshold")
    if threshold is not None and (not isinstance(threshold, int | float) or not 0 <= threshold <= 1):
        raise ValueError(f"it holds no threshold of prediction sets: {threshold}")
    return threshold
