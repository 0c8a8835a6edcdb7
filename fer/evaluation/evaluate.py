"""Evaluate a split: of a run after training, or of any data set with trained models."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig

from fer.data.datamodule import FERDataModule
from fer.device import choose_device, choose_precision, device_name, keep_freed_memory, set_gpu_precision
from fer.emotions import SPLITS
from fer.errors import ConfigError
from fer.evaluation.conformal import fit_set_threshold
from fer.evaluation.evaluated_data import (
    ALL,
    no_known_class,
    open_evaluated,
    report_classes,
    report_framing,
    same_data,
    training_data,
    training_images,
)
from fer.evaluation.evaluation import Evaluation
from fer.evaluation.identity import code_facts, data_facts
from fer.evaluation.leakage import LeakageChecker
from fer.evaluation.metric_table import compute_metrics
from fer.evaluation.metrics import fit_temperature
from fer.evaluation.predict_split import VIEWS, EnsembleMember, ModelOutputs, predict_split
from fer.evaluation.split_predictions import SplitPredictions, softmax
from fer.evaluation.test_readings import note_test_reading, split_in_words
from fer.evaluation.trained_model import TrainedModel, load_trained
from fer.evaluation.votes import votes_of
from fer.models.classifier import ExpressionClassifier

log = logging.getLogger(__name__)

READ_AS_TEST = ("test", ALL)


def evaluate_run(
    classifier: ExpressionClassifier, datamodule: FERDataModule, device: torch.device, precision: str
) -> Evaluation:
    """Evaluate what a run has trained, on its validation and test images.

    Returns:
        The predictions for the test images, and metrics under `val/` and `test/`.
    """
    assert datamodule.pack is not None, "setup comes first"
    member = EnsembleMember(classifier, precision)
    outputs = {split: predict_split([member], datamodule, split, device) for split in ("val", "test")}
    temperature = fit_temperature(outputs["val"].logits, outputs["val"].labels)
    threshold = fit_set_threshold(softmax(outputs["val"].logits, temperature), outputs["val"].labels)
    leakage = LeakageChecker(datamodule.pack, [training_images(datamodule)])
    found = {
        split: with_facts(
            of_split, classifier.classes, datamodule, split, temperature, leakage, split == "val", threshold
        )
        for split, of_split in outputs.items()
    }
    metrics = split_metrics(found["val"], datamodule) | split_metrics(found["test"], datamodule)
    metrics |= data_facts(datamodule.pack) | code_facts()
    return Evaluation(found["test"], metrics, temperature, "val", threshold)


def evaluate_models(cfg: DictConfig, overrides: Sequence[str] = ()) -> tuple[list[TrainedModel], Evaluation]:
    """Evaluate trained models, one or an ensemble, on a split of any data set; a test is noted in the pack's ledger.

    Args:
        cfg: as `conf/evaluate.yaml` composes it.
        overrides: the command line: its `data.` keys apply to a run's own data too.

    Returns:
        The models, and what they predict.

    Raises:
        FERError: anything a user can fix, in one line.
    """
    for key, choices in (("tta", list(VIEWS)), ("split", [*SPLITS, ALL])):
        if cfg[key] not in choices:
            raise ConfigError(f"{key}={cfg[key]}: choose {', '.join(choices)}")
    device = choose_device(cfg.device)
    models = [load_trained(path, cfg.get("model")) for path in given_checkpoints(cfg)]
    classes = models[0].classifier.classes
    members = [_member(model, cfg.precision, device) for model in models]
    datamodule = open_evaluated(cfg, overrides, models)
    assert datamodule.pack is not None, "set up"
    training = training_data(models, datamodule)
    own = any(same_data(data, datamodule) for data in training)
    report_framing(datamodule, models)
    report_classes(datamodule, cfg.split, classes, own)
    _prepare_device(device)
    outputs = predict_split(members, datamodule, cfg.split, device, cfg.tta)
    temperature, fitted_on, threshold = _calibration(models, members, datamodule, training, device, cfg.tta)
    leakage = LeakageChecker(datamodule.pack, [training_images(data) for data in training])
    in_sample = fitted_on is not None and own and cfg.split in ("val", ALL)
    predictions = with_facts(outputs, classes, datamodule, cfg.split, temperature, leakage, in_sample, threshold)
    if predictions.images_trained_on:
        log.warning(
            "%d of %d images were trained or selected on: trust only the accuracy without duplicates",
            predictions.images_trained_on,
            len(predictions),
        )
    facts = _facts(cfg, models, datamodule) | {
        "temperature": temperature,
        "temperature_fitted_on": fitted_on,
        "precision": members[0].precision,
        "device": device_name(device),
    }
    metrics = split_metrics(predictions, datamodule) | facts
    if cfg.split in READ_AS_TEST:
        metrics |= _note_reading(cfg, models, datamodule, facts["fold"], metrics[f"{cfg.split}/accuracy"])
    return models, Evaluation(predictions, metrics, temperature, fitted_on, threshold)


def _facts(cfg: DictConfig, models: list[TrainedModel], datamodule: FERDataModule) -> dict[str, Any]:
    """What was evaluated on what, by the names of `metrics.json`."""
    assert datamodule.pack is not None, "set up"
    paths, trained_on = [str(model.path) for model in models], [model.trained_on for model in models]
    return {
        "checkpoint": paths[0] if len(models) == 1 else paths,
        "trained_on": trained_on[0] if len(models) == 1 else trained_on,
        "data": str(datamodule.name),
        "fold": datamodule.fold if datamodule.folds and cfg.split != ALL else None,
        "split": cfg.split,
        "tta": cfg.tta,
        "classes": models[0].classifier.classes,
        "image_size": datamodule.requested_image_size or models[0].classifier.image_size,
        **data_facts(datamodule.pack),
        **code_facts(),
    }


def _note_reading(
    cfg: DictConfig, models: Sequence[TrainedModel], datamodule: FERDataModule, fold: int | None, accuracy: float
) -> dict[str, int]:
    """Enter the evaluation into the ledger of the pack; how often this split was read so far."""
    trained = [model.settings or str(model.path) for model in models]
    settings = {"models": trained, "tta": cfg.tta, "image_size": datamodule.requested_image_size}
    run = ", ".join(str(model.path) for model in models)
    split = split_in_words(cfg.split, fold)
    readings = note_test_reading(datamodule.folder, run, settings, split, accuracy)
    return {} if readings is None else readings.metrics(cfg.split)


def with_facts(
    outputs: ModelOutputs,
    classes: list[str],
    datamodule: FERDataModule,
    split: str,
    temperature: float,
    leakage: LeakageChecker,
    in_sample: bool = False,
    set_threshold: float | None = None,
) -> SplitPredictions:
    """Predictions for the images whose class the model knows, with what is known of each image.

    Args:
        outputs: for all images of the split; label -1 where the model does not know the class.
        classes: the model's.
        datamodule: whose pack the rows belong to.
        split: one of the module's.
        temperature: fitted on validation.
        leakage: finds what the model knows from training.
        in_sample: whether the temperature was fitted on these images.
        set_threshold: of prediction sets, fitted where the temperature was; None where that is unknown.

    Raises:
        DataError: no image is of a class that the model knows.
    """
    pack = datamodule.pack
    assert pack is not None, "setup comes first"
    known = outputs.labels >= 0
    if not known.any():
        raise no_known_class(datamodule, split, classes)
    rows, images = outputs.rows[known], pack.images
    exact, near = leakage.duplicates(rows, split)
    subjects = pack.subjects[rows]
    return SplitPredictions(
        classes=classes,
        logits=outputs.logits[known],
        labels=outputs.labels[known],
        names=pack.names[rows],
        subjects=None if (subjects == "").any() else subjects,
        images=lambda positions: images[rows[positions]],
        temperature=temperature,
        temperature_in_sample=in_sample,
        set_threshold=set_threshold,
        votes=votes_of(pack, rows, classes),
        exact_duplicates=exact,
        near_duplicates=near,
        photographs=leakage.photographs[rows],
        groups={attribute: values[rows] for attribute, values in pack.groups.items()},
        images_of_unknown_classes=int((~known).sum()),
        images_trained_on=leakage.trained_on(rows, split),
        split=split,
        data=str(datamodule.name),
    )


def split_metrics(predictions: SplitPredictions, datamodule: FERDataModule) -> dict[str, Any]:
    """Metrics by the names of `metrics.json`, such as `test/accuracy`."""
    held_out = {"held_out": True} if datamodule.held_out else {}
    return {f"{predictions.split}/{name}": value for name, value in (compute_metrics(predictions) | held_out).items()}


def _prepare_device(device: torch.device) -> None:
    """As `build_trainer` does, so that a run's own metrics are reproduced."""
    if device.type == "cpu":
        keep_freed_memory()
    if device.type == "cuda":
        set_gpu_precision("high")


def given_checkpoints(cfg: DictConfig) -> list[str]:
    """What `checkpoint` names: one path, or several that vote.

    Raises:
        ConfigError: nothing, or something twice.
    """
    if not cfg.checkpoint:
        raise ConfigError("give checkpoint=RUN_OR_CKPT: a run folder or a checkpoint, or several as [A,B,C] to vote")
    given = cfg.checkpoint if isinstance(cfg.checkpoint, ListConfig) else [cfg.checkpoint]
    paths = [str(path) for path in given]
    if len({Path(path).resolve() for path in paths}) < len(paths):
        raise ConfigError("checkpoint names a model twice: it would have two votes")
    return paths


def _member(model: TrainedModel, precision: str, device: torch.device) -> EnsembleMember:
    """A model in the precision it was tested in, unless another one is asked for."""
    if precision != "auto":
        precision = choose_precision(precision, device)
    elif model.precision is None or (model.precision == "16-mixed" and device.type != "cuda"):
        precision = choose_precision("auto", device)
    else:
        precision = model.precision
    return EnsembleMember(model.classifier, precision, model.temperature or 1.0, str(model.path))


def _calibration(
    models: Sequence[TrainedModel],
    members: Sequence[EnsembleMember],
    datamodule: FERDataModule,
    training: Sequence[FERDataModule],
    device: torch.device,
    tta: str,
) -> tuple[float, str | None, float | None]:
    """The temperature, what it was fitted on, and the threshold of prediction sets; 1 and None where none is fitted.

    A single model with one view has the temperature of its run. An ensemble, of models or views, has its own, fitted
    on validation images of the data of training: those of other data would be a second training set.
    """
    single = models[0].temperature if len(models) == 1 else None
    of_run = f"validation images of {models[0].trained_on}, in the run"
    if single is not None and tta == "none":
        return single, of_run, models[0].set_threshold
    own = bool(training) and all(same_data(data, datamodule) for data in training)
    validation = training[0] if own else datamodule  # with split=all, only training has the fold's own splits
    validation.requested_image_size = datamodule.requested_image_size
    if own and len(validation.splits["val"]):
        outputs = predict_split(members, validation, "val", device, tta)
        known = outputs.labels >= 0
        if known.any():
            temperature = fit_temperature(outputs.logits[known], outputs.labels[known])
            threshold = fit_set_threshold(softmax(outputs.logits[known], temperature), outputs.labels[known])
            return temperature, "validation images, evaluated the same way", threshold
    return (1.0, None, None) if single is None else (single, of_run, None)
