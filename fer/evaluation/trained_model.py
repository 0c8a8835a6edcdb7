"""Trained models with what their run folders say of them: temperature, precision, and the data they have seen."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fer.data.datamodule import FERDataModule
from fer.data.pack import read_manifest
from fer.errors import CheckpointError, DataError, FERError, RunError
from fer.evaluation.leakage import Seen
from fer.models.classifier import ExpressionClassifier
from fer.models.load import build_own_network, load_classifier
from fer.runs.folder import CONFIG, METRICS, RunFolder, best_checkpoint

OWN_DATA = f"{FERDataModule.__module__}.{FERDataModule.__qualname__}"


@dataclass(frozen=True)
class TrainedModel:
    """A classifier, and what its run folder says of it."""

    path: Path  # as given
    classifier: ExpressionClassifier
    folder: Path | None  # the run folder; None for a checkpoint that lies elsewhere
    temperature: float | None  # None where none was fitted for this checkpoint
    precision: str | None  # that it was tested in; None where that is unknown
    data: dict[str, Any] | None  # arguments of the run's FERDataModule; None where they are unknown

    @property
    def trained_on(self) -> str:
        """The name of its data."""
        return "unknown data" if self.data is None else str(self.data["name"])


def load_trained(path: Path | str, model: DictConfig | None = None) -> TrainedModel:
    """Load a checkpoint, or a run folder's best one.

    Args:
        path: of either.
        model: config of the network, where it is not one of timm's.

    Raises:
        CheckpointError: see `load_classifier`; or a run folder whose files are damaged, or hold runs of folds.
    """
    path = Path(path)
    if is_run_of_folds(path):
        raise CheckpointError(f"{path} holds a run of each fold: give one of them, checkpoint={path / 'fold0'}")
    classifier = load_classifier(path, None if model is None else build_own_network(model, path))
    folder = path if path.is_dir() else path.parent.parent
    alone = not (folder / CONFIG).exists() or (path.is_file() and path.parent.name != "checkpoints")
    config = {} if alone else _config(folder / CONFIG)
    if config.get("module", {}).get("channels_last", True):  # sums in another order round differently
        classifier.network.to(memory_format=torch.channels_last)
    if alone:
        return TrainedModel(path, classifier, None, None, None, None)
    best = path.is_dir() or path.name == best_checkpoint(folder).name
    precision = _number(folder / METRICS, "precision")
    return TrainedModel(
        path,
        classifier,
        folder,
        temperature=_temperature(folder / "calibration.json") if best else None,
        precision=precision if isinstance(precision, str) else None,
        data=_arguments(config.get("data")),
    )


def is_run_of_folds(path: Path) -> bool:
    """Whether a folder holds a run of each fold, and no model of its own."""
    return path.is_dir() and not best_checkpoint(path).exists() and best_checkpoint(path / "fold0").exists()


def run_data(folder: Path) -> dict[str, Any] | None:
    """Arguments of a run's FERDataModule; None where they are unknown.

    Raises:
        CheckpointError: a config that cannot be read.
    """
    return _arguments(_config(folder / CONFIG).get("data")) if (folder / CONFIG).exists() else None


def _config(file: Path) -> dict[str, Any]:
    try:
        return cast(dict[str, Any], OmegaConf.to_container(RunFolder(file.parent).read_config(), resolve=True))
    except (RunError, OmegaConfBaseException) as error:
        raise CheckpointError(f"{file} is damaged ({' '.join(str(error).split())[:200]})") from error


def _arguments(data: Any) -> dict[str, Any] | None:
    """Arguments of FERDataModule; None for data of one's own: a run folder may not name code that we then run."""
    if not isinstance(data, dict) or data.get("_target_") != OWN_DATA:
        return None
    return {str(key): value for key, value in data.items() if key != "_target_"}


def _number(file: Path, key: str) -> Any:
    """A value of a JSON file; None where it does not stand there."""
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} is damaged ({error}); move it away to go on without it") from error
    return content.get(key) if isinstance(content, dict) else None


def _temperature(file: Path) -> float | None:
    """The temperature fitted for a run's best checkpoint."""
    temperature = _number(file, "temperature")
    if temperature is not None and not (isinstance(temperature, float | int) and 0 < temperature < math.inf):
        raise CheckpointError(f"{file} is damaged (temperature {temperature}); move it away to go on without it")
    return temperature


def training_data(models: list[TrainedModel], evaluated: FERDataModule) -> list[FERDataModule]:
    """The data of each model, set up as they were in training; empty where those of one are unknown or not at hand.

    Args:
        models: loaded.
        evaluated: what they are evaluated on; stands for the data of training where it is the same.
    """
    found = []
    for model in models:
        try:
            found.append(_as_in_training(model, evaluated))
        except (FERError, TypeError):  # no such pack here, or the config of another version
            return []
    return found


def _as_in_training(model: TrainedModel, evaluated: FERDataModule) -> FERDataModule:
    if model.data is None:
        raise DataError(f"the data that {model.path} was trained on are unknown")
    datamodule = FERDataModule(**{**model.data, "source": None})
    if not (Path(datamodule.root) / datamodule.pack_name).exists():
        datamodule.root = evaluated.root
    if "all" not in evaluated.splits and same_data(datamodule, evaluated):
        return evaluated
    datamodule.setup()
    return datamodule


def same_data(one: FERDataModule, other: FERDataModule) -> bool:
    """Whether two modules put the same images of the same pack, wherever it lies, into the same splits.

    Raises:
        DataError: a pack that cannot be read.
    """
    return one is other or _protocol(one) == _protocol(other)


def _protocol(data: FERDataModule) -> tuple[Any, ...]:
    manifest = read_manifest(Path(data.root) / data.pack_name)
    classes = data.requested_classes or data.default_classes
    return manifest["sha256"], data.folds, data.fold, data.subject, tuple(classes), data.drop_leaks


def seen_images(data: list[FERDataModule]) -> list[Seen]:
    """What models have seen, from the data of their training."""
    seen = []
    for datamodule in data:
        assert datamodule.pack is not None, "set up"
        seen.append(Seen(datamodule.pack, datamodule.splits["train"], datamodule.splits["val"]))
    return seen
