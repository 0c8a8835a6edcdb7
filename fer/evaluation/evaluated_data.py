"""The data that an evaluation is of, opened as the models need them, beside those that the models were trained on."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fer.data.datamodule import FERDataModule
from fer.data.pack import read_manifest
from fer.errors import ConfigError, DataError, FERError
from fer.evaluation.leakage import TrainingImages
from fer.evaluation.trained_model import TrainedModel
from fer.faces.framing import Framing
from fer.instantiate import build
from fer.runs.renamed import OWN_DATA

log = logging.getLogger(__name__)

ALL = "all"


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
    split, splits = cfg.split, read_manifest(datamodule.folder)["counts"]
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
    packed = (Path(str(first.get("root", "data"))) / str(first.get("pack") or first["name"])).exists()
    return {"_target_": OWN_DATA, **first, **({"source": None} if packed else {})}


def report_framing(datamodule: FERDataModule, models: Sequence[TrainedModel]) -> None:
    """Warn where faces of the data were cut out otherwise than those of training."""
    of_models = {Framing.from_dict(m.classifier.framing).options for m in models if m.classifier.framing is not None}
    for trained in sorted(of_models - {datamodule.framing.options}):
        log.warning(
            "data=%s was packed with %s, but the model was trained with %s: its faces look different, and the accuracy "
            "suffers; pack them as the model needs them, under another name (data.pack=NAME)",
            datamodule.name,
            datamodule.framing.options,
            trained,
        )


def report_classes(datamodule: FERDataModule, split: str, classes: Sequence[str], own: bool) -> None:
    """Log which classes model and data do not share, and which fold is evaluated.

    Raises:
        DataError: the models know no class of the data.
    """
    labels = datamodule.labels[datamodule.splits[split]]
    counts = {emotion: int((labels == k).sum()) for k, emotion in enumerate(datamodule.classes)}
    unknown = [emotion for emotion, count in counts.items() if count and emotion not in classes]
    absent = [emotion for emotion in classes if not counts.get(emotion)]
    if len(absent) == len(classes):
        raise no_known_class(datamodule, split, classes)
    if unknown:
        left_out = sum(counts[emotion] for emotion in unknown)
        log.warning(
            "%d of %d images are %s, which the model does not know: they are left out",
            left_out,
            len(labels),
            " or ".join(unknown),
        )
    if absent:
        log.info("no image is %s; the model may still predict it", " or ".join(absent))
    if datamodule.folds and split != ALL and not own:
        log.info(
            "data=%s is folded: these are the %s images of fold %d; split=all evaluates every image",
            datamodule.name,
            split,
            datamodule.fold,
        )


def no_known_class(datamodule: FERDataModule, split: str, classes: Sequence[str]) -> DataError:
    return DataError(
        f"data={datamodule.name} has no {split} image of {', '.join(classes)}, which is all that the model knows"
    )


def training_data(models: list[TrainedModel], evaluated: FERDataModule) -> list[FERDataModule]:
    """The data of each model, set up as they were in training; empty where those of one are unknown or not here.

    Args:
        models: loaded.
        evaluated: the data to evaluate on; taken as those of training where they are the same.
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
    """Whether two modules put the same images of the same pack, wherever it is stored, into the same splits.

    Raises:
        DataError: a pack that cannot be read.
    """
    return one is other or _protocol(one) == _protocol(other)


def _protocol(data: FERDataModule) -> tuple[Any, ...]:
    manifest = read_manifest(Path(data.root) / data.pack_name)
    classes = data.requested_classes or data.default_classes
    return manifest["sha256"], data.folds, data.fold, data.subject, tuple(classes), data.drop_leaks


def training_images(datamodule: FERDataModule) -> TrainingImages:
    """The images that a model was trained and selected on, from the data of its training, set up."""
    assert datamodule.pack is not None, "setup comes first"
    return TrainingImages(datamodule.pack, datamodule.splits["train"], datamodule.splits["val"])
