"""Trained models with what their run folders record: temperature, precision, and the data of training."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fer.errors import CheckpointError, RunError
from fer.evaluation.test_readings import settings_of
from fer.models.classifier import ExpressionClassifier
from fer.models.load import build_own_network, classifier_of, load_classifier
from fer.models.novelty import Novelty, NoveltyScore
from fer.models.onnx_network import load_onnx
from fer.models.shipped import located
from fer.models.weight_files import EXPORTED, ONNX, ExportedFacts, exported_file
from fer.models.weights import read_checkpoint
from fer.runs.folder import RunFolder
from fer.runs.renamed import OWN_DATA


@dataclass(frozen=True)
class TrainedModel:
    """A classifier, and what its run folder says of it."""

    path: Path  # as given
    classifier: ExpressionClassifier
    folder: Path | None  # the run folder; None for a checkpoint that lies elsewhere
    temperature: float | None  # None where none was fitted for this checkpoint
    precision: str | None  # that it was tested in; None where that is unknown
    data: dict[str, Any] | None  # arguments of the run's FERDataModule; None where they are unknown
    metrics: dict[str, Any] = field(default_factory=dict)  # of the run; empty where they are unknown
    settings: dict[str, Any] | None = None  # of the run, that tell configurations apart; None where unknown
    set_threshold: float | None = None  # of prediction sets; None where none was fitted for this checkpoint
    novelty: NoveltyScore | None = None  # tells how unlike the training data a face is; None where that is unknown

    @property
    def trained_on(self) -> str:
        """The name of its data."""
        return "unknown data" if self.data is None else str(self.data["name"])


def load_trained(path: Path | str, model: DictConfig | None = None) -> TrainedModel:
    """Load a checkpoint, a run folder's best one, or an exported model.

    Args:
        path: of either; a safetensors or ONNX file, or a bundle or hub folder, of `export.py`; or the word of shipped
            weights.
        model: config of the network, where it is not one of timm's.

    Raises:
        CheckpointError: see `load_classifier`; or a run folder whose files are damaged, or hold runs of folds.
    """
    path = exported_file(located(path))
    if path.suffix in (EXPORTED, ONNX):
        return _load_exported(path, model)
    run = RunFolder(path) if path.is_dir() else RunFolder.of_checkpoint(path)
    if run is not None and path.is_dir() and run.is_run_of_folds():
        raise CheckpointError(f"{path} holds a run of each fold: give one of them, checkpoint={run.fold(0)}")
    classifier = load_classifier(path, None if model is None else build_own_network(model, path))
    if run is None or not run.is_run():
        classifier.network.to(memory_format=torch.channels_last)
        return TrainedModel(path, classifier, None, None, None, None)
    try:
        config = _content(run)
        best = path.is_dir() or path.name == run.best_checkpoint.name
        temperature = run.read_temperature() if best else None
        metrics = run.read_metrics() if run.is_finished() else {}
        set_threshold = run.read_set_threshold() if best else None
        novelty = _novelty(run.read_novelty() if best else None, run.novelty_file)
    except RunError as error:
        raise CheckpointError(f"{error}; move it away to load the checkpoint without it") from error
    if config.get("module", {}).get("channels_last", True):  # sums in another order round differently
        classifier.network.to(memory_format=torch.channels_last)
    data = _arguments(config.get("data"))
    settings = settings_of(config) if best else None
    precision, metrics = metrics.get("precision"), metrics if best else {}
    return TrainedModel(
        path, classifier, run.path, temperature, precision, data, metrics, settings, set_threshold, novelty
    )


def _novelty(text: str | None, path: Path) -> Novelty | None:
    try:
        return None if text is None else Novelty.from_text(text)
    except ValueError as error:  # binascii's among them
        raise RunError(f"{path} cannot be read ({error})") from error


def _load_exported(path: Path, model: DictConfig | None) -> TrainedModel:
    novelty: NoveltyScore | None = None
    if path.suffix == ONNX:
        classifier, facts, novelty = load_onnx(path)
        facts = {**facts, "temperature": "1.0"}  # its own is in the network
    else:
        checkpoint = read_checkpoint(path)
        facts = checkpoint["exported"]
        classifier = classifier_of(checkpoint, path, None if model is None else build_own_network(model, path))
        classifier.network.to(memory_format=torch.channels_last)
    found = ExportedFacts.read(facts, path)
    try:
        novelty = Novelty.from_text(facts["novelty"]) if "novelty" in facts else novelty
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged, or was edited ({error})") from error
    return TrainedModel(
        path, classifier, None, found.temperature, None, found.data, found.metrics, None, found.set_threshold, novelty
    )


def run_data(run: RunFolder) -> dict[str, Any] | None:
    """Arguments of a run's FERDataModule; None where they are unknown.

    Raises:
        RunError: a config that cannot be read.
    """
    return _arguments(_content(run).get("data")) if run.is_run() else None


def _content(run: RunFolder) -> dict[str, Any]:
    """The resolved config of a run."""
    try:
        return cast(dict[str, Any], OmegaConf.to_container(run.read_config(), resolve=True))
    except OmegaConfBaseException as error:
        raise RunError(f"{run.config_file} cannot be read ({' '.join(str(error).split())[:200]})") from error


def _arguments(data: Any) -> dict[str, Any] | None:
    """Arguments of FERDataModule; None for data of one's own: a run folder may not name code that we then run."""
    if not isinstance(data, dict) or data.get("_target_") != OWN_DATA:
        return None
    return {str(key): value for key, value in data.items() if key != "_target_"}
