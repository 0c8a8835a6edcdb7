"""What trained models, one or several voting, make of a split of any data set; nothing is written."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig, OmegaConf

from fer.data.datamodule import FERDataModule
from fer.data.pack import read_manifest
from fer.device import choose_device, choose_precision, device_name, keep_freed_memory, set_gpu_precision
from fer.emotions import SPLITS
from fer.errors import ConfigError, DataError
from fer.evaluation.calibration import fit_temperature
from fer.evaluation.leakage import TwinFinder
from fer.evaluation.predict_split import Voter, predict_split
from fer.evaluation.report import judge
from fer.evaluation.split_predictions import SplitPredictions
from fer.evaluation.trained_model import OWN_DATA, TrainedModel, load_trained, same_data, seen_images, training_data
from fer.evaluation.tta import VIEWS
from fer.instantiate import build

log = logging.getLogger(__name__)

ALL = "all"


def score(
    cfg: DictConfig, overrides: Sequence[str] = ()
) -> tuple[list[TrainedModel], SplitPredictions, dict[str, Any]]:
    """The models, what they made of the split, and the metrics; nothing is written.

    Args:
        cfg: as `conf/evaluate.yaml` composes it.
        overrides: what the command line said: its `data.` keys count for a run's own data too.

    Raises:
        FERError: whatever a user can mend, in one line.
    """
    for key, choices in (("tta", list(VIEWS)), ("split", [*SPLITS, ALL])):
        if cfg[key] not in choices:
            raise ConfigError(f"{key}={cfg[key]}: choose {', '.join(choices)}")
    device = choose_device(cfg.device)
    models = [load_trained(path, cfg.get("model")) for path in given_checkpoints(cfg)]
    classes = models[0].classifier.classes
    voters = [_voter(model, cfg.precision, device) for model in models]
    datamodule = open_evaluated(cfg, overrides, models)
    assert datamodule.pack is not None, "set up"
    training = training_data(models, datamodule)
    _tell_data(datamodule, cfg.split, classes, own=any(same_data(data, datamodule) for data in training))
    _make_ready(device)
    predictions = predict_split(voters, datamodule, cfg.split, device, cfg.tta)
    temperature, fitted_on = _temperature(models, voters, datamodule, training, device, cfg.tta)
    twins = TwinFinder(datamodule.pack, seen_images(training))
    outcome = judge(predictions, classes, datamodule, cfg.split, temperature, twins)
    _tell_seen(outcome)
    metrics = {
        **{f"{cfg.split}/{name}": value for name, value in outcome.metrics.items()},
        "checkpoint": str(models[0].path) if len(models) == 1 else [str(model.path) for model in models],
        "trained_on": models[0].trained_on if len(models) == 1 else [model.trained_on for model in models],
        "data": outcome.data,
        "fold": datamodule.fold if datamodule.folds and cfg.split != ALL else None,
        "split": cfg.split,
        "tta": cfg.tta,
        "classes": classes,
        "temperature": temperature,
        "temperature_fitted_on": fitted_on,
        "image_size": datamodule.requested_image_size or models[0].classifier.image_size,
        "precision": voters[0].precision,
        "device": device_name(device),
    }
    return models, outcome, metrics


def _make_ready(device: torch.device) -> None:
    """As `build_trainer` does, so that a run's own numbers come again."""
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


def _voter(model: TrainedModel, precision: str, device: torch.device) -> Voter:
    """A model in the precision it was tested in, unless another one is asked for."""
    if precision != "auto":
        precision = choose_precision(precision, device)
    elif model.precision is None or (model.precision == "16-mixed" and device.type != "cuda"):
        precision = choose_precision("auto", device)
    else:
        precision = model.precision
    return Voter(model.classifier, precision, model.temperature or 1.0, str(model.path))


def open_evaluated(cfg: DictConfig, overrides: Sequence[str], models: Sequence[TrainedModel]) -> FERDataModule:
    """The data to evaluate on, set up: those of the config, or of the models' own run where it names none.

    Images have the models' own size, unless the command line gives another.

    Raises:
        ConfigError: no data named, and none known of the models, or different ones.
        DataError: see `FERDataModule`; no images in the split.
    """
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    given = {key.removeprefix("data."): OmegaConf.select(cfg, key) for key in keys if key.startswith("data.")}
    node = cfg.data.copy() if cfg.data.name is not None else OmegaConf.create(_own_data(models) | given)
    if "image_size" not in given:
        node.image_size = None
    datamodule: FERDataModule = build(node, "data")
    datamodule.prepare_data()
    split, splits = cfg.split, read_manifest(Path(datamodule.root) / datamodule.pack_name)["counts"]
    own = datamodule.pack_name in {(model.data or {}).get("pack") or model.trained_on for model in models}
    if split == ALL or (datamodule.folds is None and "train" not in splits and not own):
        datamodule.setup_whole()
    else:
        datamodule.setup()
    if len(datamodule.splits[split]) == 0:
        raise DataError(
            f"data={datamodule.name} has no {split} images of its classes ({', '.join(splits)}: "
            f"{', '.join(datamodule.classes) or 'none'}); split=all evaluates every image"
        )
    return datamodule


def _own_data(models: Sequence[TrainedModel]) -> dict[str, Any]:
    first = models[0].data
    if first is None:
        raise ConfigError(f"{models[0].path} does not say what data it was trained on: give data=NAME")
    for model in models[1:]:
        other = model.data or {}
        if any(other.get(key) != first.get(key) for key in ("name", "pack", "folds", "fold", "subject", "classes")):
            raise ConfigError(f"{model.path} and {models[0].path} were trained on different data: give data=NAME")
    stands = (Path(str(first.get("root", "data"))) / str(first.get("pack") or first["name"])).exists()
    return {"_target_": OWN_DATA, **first, **({"source": None} if stands else {})}


def _temperature(
    models: Sequence[TrainedModel],
    voters: Sequence[Voter],
    datamodule: FERDataModule,
    training: Sequence[FERDataModule],
    device: torch.device,
    tta: str,
) -> tuple[float, str | None]:
    """The temperature, and what it was fitted on; 1 and None where nothing could be.

    A model that is asked as it was in its run has that run's. A vote, of models or views, has its own fitted, on
    validation images of the very data of training: those of other data would be a second training set.
    """
    single = models[0].temperature if len(models) == 1 else None
    of_run = f"validation images of {models[0].trained_on}, in the run"
    if single is not None and tta == "none":
        return single, of_run
    own = bool(training) and all(same_data(data, datamodule) for data in training)
    asked = training[0] if own else datamodule  # where every image is asked for, training has the fold's own splits
    asked.requested_image_size = datamodule.requested_image_size
    if own and len(asked.splits["val"]):
        found = predict_split(voters, asked, "val", device, tta)
        known = found.labels >= 0
        if known.any():
            return fit_temperature(found.logits[known], found.labels[known]), "validation images, asked the same way"
    return (1.0, None) if single is None else (single, of_run)


def _tell_data(datamodule: FERDataModule, split: str, classes: Sequence[str], own: bool) -> None:
    """Say what the numbers will be about, where that is not what the models were trained for.

    Raises:
        DataError: the models know no class of the data.
    """
    labels = datamodule.labels[datamodule.splits[split]]
    counts = {emotion: int((labels == k).sum()) for k, emotion in enumerate(datamodule.classes)}
    unknown = [emotion for emotion, count in counts.items() if count and emotion not in classes]
    absent = [emotion for emotion in classes if not counts.get(emotion)]
    if len(absent) == len(classes):
        raise DataError(
            f"data={datamodule.name} has no {split} image of {', '.join(classes)}, which is all that the model knows"
        )
    if unknown:
        left_out = sum(counts[emotion] for emotion in unknown)
        log.warning(
            "%d of %d images are %s, which the model does not know: they are left out of the score",
            left_out,
            len(labels),
            " or ".join(unknown),
        )
    if absent:
        log.info("no image is %s; the model may still say so", " or ".join(absent))
    if datamodule.folds and split != ALL and not own:
        log.info(
            "data=%s is folded: these are the %s images of fold %d; split=all evaluates every image",
            datamodule.name,
            split,
            datamodule.fold,
        )


def _tell_seen(outcome: SplitPredictions) -> None:
    known = outcome.metrics["images_trained_on"]
    if known:
        log.warning(
            "%d of %d images were trained or selected on: believe the accuracy without twins alone", known, len(outcome)
        )
