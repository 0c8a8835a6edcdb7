"""One run from config to finished run folder."""

import logging
import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from fer.data.datamodule import FERDataModule
from fer.device import device_name
from fer.errors import RunError
from fer.evaluation.cost import multiply_accumulates, peak_memory_bytes
from fer.evaluation.report import evaluate_run
from fer.files import replacing, write_json
from fer.model.classifier import ExpressionClassifier
from fer.model.weights import read_checkpoint
from fer.training.build import accepts, build
from fer.training.callbacks import Throughput
from fer.training.dashboard import RunLogger, declare_hyperparameters, log_results
from fer.training.folder import CONFIG, METRICS, best_checkpoint, is_finished, last_checkpoint, only_writer
from fer.training.summary import print_summary
from fer.training.trainer import quiet_lightning

log = logging.getLogger(__name__)


def train(cfg: DictConfig, folder: Path, overrides: Sequence[str] = ()) -> dict[str, Any] | None:
    """Train, select on validation, test the best checkpoint once, fill the run folder.

    Args:
        cfg: as `conf/train.yaml` composes it.
        folder: the run folder; with `cfg.resume`, that of the run to go on with, whose own config then counts.
        overrides: what the command line said, to change in a resumed run.

    Returns:
        The content of `metrics.json`; None on ranks other than the first.

    Raises:
        FERError: whatever a user can mend, in one line.
    """
    if int(os.environ.get("LOCAL_RANK", 0)) or int(os.environ.get("NODE_RANK", 0)):
        return _train(_effective_config(cfg, folder, overrides), folder, _checkpoint_to_resume(cfg, folder))
    with only_writer(folder):
        if is_finished(folder):
            raise RunError(f"{folder} is finished already (metrics.json stands); give another hydra.run.dir")
        checkpoint = _checkpoint_to_resume(cfg, folder)
        cfg = _effective_config(cfg, folder, overrides)
        with replacing(folder / CONFIG) as file:
            file.write(OmegaConf.to_yaml(cfg, resolve=True))
        return _train(cfg, folder, checkpoint)


def _train(cfg: DictConfig, folder: Path, checkpoint: Path | None) -> dict[str, Any] | None:
    quiet_lightning()
    started = time.perf_counter()
    seed_everything(cfg.seed, verbose=False)
    datamodule = build(cfg.data, "data", augment=build(cfg.augment, "augment"))
    datamodule.prepare_data()
    datamodule.setup()
    classifier = build_classifier(cfg, datamodule)
    logger = RunLogger(folder)
    strategy = _strategy(cfg.trainer.strategy, classifier)
    trainer = build(cfg.trainer, "trainer", callbacks=build_callbacks(cfg, folder), logger=logger, strategy=strategy)
    if trainer.is_global_zero:
        _announce(cfg, datamodule, classifier, trainer, folder)
        declare_hyperparameters(logger.experiment, cfg)
    fit_started = time.perf_counter()
    try:
        trainer.fit(classifier, datamodule=datamodule, ckpt_path=checkpoint)
    except SystemExit as stop:  # what Lightning makes of Ctrl-C and SIGTERM
        log.warning("stopped; go on with: python scripts/train.py resume=%s", folder)
        raise SystemExit(143 if isinstance(stop, SIGTERMException) else 130) from stop
    train_seconds = time.perf_counter() - fit_started
    device = trainer.strategy.root_device
    if not trainer.is_global_zero:
        return None
    best = read_checkpoint(best_checkpoint(folder))
    classifier.load_state_dict(best["state_dict"])
    results, figures = evaluate_run(classifier, datamodule, folder, device, trainer.precision)
    metrics = {
        **results,
        "best_epoch": best["epoch"],
        "parameters": sum(parameter.numel() for parameter in classifier.network.parameters()),
        "macs": multiply_accumulates(classifier.network, datamodule.channels, datamodule.image_size),
        "train_images_per_second": _images_per_second(trainer),
        "train_seconds": train_seconds,
        "peak_memory_bytes": peak_memory_bytes(device),
        "precision": trainer.precision,
        "device": device_name(device),
    }
    log_results(logger.experiment, metrics, figures, trainer.global_step)
    write_json(folder / METRICS, metrics)
    print_summary(metrics, folder, timedelta(seconds=round(time.perf_counter() - started)))
    return metrics


def build_classifier(cfg: DictConfig, datamodule: FERDataModule) -> ExpressionClassifier:
    """Network and LightningModule for the classes and channels of the data."""
    facts = {"num_classes": len(datamodule.classes), "in_chans": datamodule.channels}
    named = {"classes": datamodule.classes} if accepts(cfg.model, "classes") else {}
    network = build(cfg.model, "model", **facts, **named)
    return build(
        cfg.module,
        "module",
        network=network,
        network_spec={**cast(dict[str, Any], OmegaConf.to_container(cfg.model, resolve=True)), **facts},
        classes=datamodule.classes,
        image_size=datamodule.image_size,
        mean=datamodule.mean,
        std=datamodule.std,
        optimizer=build(cfg.optimizer, "optimizer"),
        scheduler=build(cfg.scheduler, "scheduler"),
        freeze=build(cfg.freeze, "freeze"),
    )


def build_callbacks(cfg: DictConfig, folder: Path) -> list[Callback]:
    """The callbacks of the config; checkpoints go into the run folder."""
    callbacks = [build(node, f"callbacks.{name}") for name, node in cfg.callbacks.items() if node is not None]
    for callback in callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(folder / "checkpoints")
    return callbacks


def _strategy(strategy: str, classifier: ExpressionClassifier) -> str:
    """Lightning's strategy; DDP must expect parameters without gradient where a schedule freezes some."""
    return "ddp_find_unused_parameters_true" if strategy == "ddp" and classifier.freeze_schedule.freezes else strategy


def _images_per_second(trainer: Trainer) -> float | None:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    meters = (callback for callback in callbacks if isinstance(callback, Throughput))
    return next((meter.images_per_second for meter in meters), None)


def _checkpoint_to_resume(cfg: DictConfig, folder: Path) -> Path | None:
    """The checkpoint that this run goes on from; None for a fresh run."""
    if cfg.resume is None:
        return None
    given = Path(cfg.resume)
    checkpoint = given if given.suffix == ".ckpt" else last_checkpoint(folder)
    if not checkpoint.exists():
        raise RunError(f"resume={cfg.resume}: there is no {checkpoint} to go on from")
    return checkpoint


def _effective_config(cfg: DictConfig, folder: Path, overrides: Sequence[str]) -> DictConfig:
    """The config that counts: a resumed run's own, with those single values changed that were given anew."""
    if cfg.resume is None:
        return cfg
    if not (folder / CONFIG).exists():
        raise RunError(f"resume={cfg.resume}: {folder} holds no {CONFIG}, so it is no run folder")
    saved = cast(DictConfig, OmegaConf.load(folder / CONFIG))
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if key == "resume" or key.startswith("hydra."):
            continue
        value = OmegaConf.select(cfg, key)
        if isinstance(value, DictConfig) or "." not in key:
            raise RunError(
                f"{override}: a resumed run keeps its {key}; only single values such as trainer.max_epochs change"
            )
        OmegaConf.update(saved, key, value)
    return saved


def _announce(
    cfg: DictConfig,
    datamodule: FERDataModule,
    classifier: ExpressionClassifier,
    trainer: Trainer,
    folder: Path,
) -> None:
    sizes = ", ".join(f"{len(rows):,} {split}" for split, rows in datamodule.splits.items())
    log.info(
        "data: %s, %s images of %d classes, %d px",
        cfg.data.name,
        sizes,
        len(datamodule.classes),
        datamodule.image_size,
    )
    parameters = sum(parameter.numel() for parameter in classifier.network.parameters())
    name = cfg.model.get("backbone", cfg.model.get("_target_"))
    log.info("model: %s, %.1f million parameters, weights: %s", name, parameters / 1e6, cfg.model.get("weights"))
    if classifier.freeze_schedule.freezes and cfg.model.get("weights") == "none":
        log.warning("the freeze schedule freezes random weights: they will never mean anything; give model.weights")
    log.info("on: %s, %s; run folder: %s", device_name(trainer.strategy.root_device), trainer.precision, folder)
