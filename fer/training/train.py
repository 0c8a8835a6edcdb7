"""One run from config to finished run folder."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import SIGTERMException

from fer.data.datamodule import FERDataModule
from fer.device import device_name, peak_memory_bytes
from fer.errors import ConfigError, RunError
from fer.evaluation.evaluate import evaluate_run
from fer.evaluation.inspection import multiply_accumulates
from fer.instantiate import accepts, build
from fer.models.load import load_classifier
from fer.models.weights import read_checkpoint
from fer.reporting.tensorboard import RunLogger, declare_run, log_results
from fer.reporting.write import write_evaluation
from fer.runs.folder import RunFolder
from fer.runs.resume import checkpoint_to_resume, resumed_config
from fer.training.callbacks import Throughput
from fer.training.checkpoint import BestCheckpoint, LastCheckpoint
from fer.training.lr_finder import find_learning_rate
from fer.training.module import ExpressionModule
from fer.training.stop import INTERRUPTED, TERMINATED, stoppable
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
        checkpoint = checkpoint_to_resume(cfg, folder)
        return _train(cfg if checkpoint is None else resumed_config(cfg, folder, overrides), folder, checkpoint)
    run = RunFolder(folder)
    with run.only_writer():
        run.check_unfinished()
        checkpoint = checkpoint_to_resume(cfg, folder)
        if checkpoint is not None:
            cfg = resumed_config(cfg, folder, overrides)
        run.write_config(cfg)
        return _train(cfg, folder, checkpoint)


def _train(cfg: DictConfig, folder: Path, checkpoint: Path | None) -> dict[str, Any] | None:
    quiet_lightning()
    seed_everything(cfg.seed, verbose=False)
    datamodule = build(cfg.data, "data", augment=build(cfg.augment, "augment"), mix=build(cfg.mix, "mix"))
    datamodule.prepare_data()
    datamodule.setup()
    classifier = build_classifier(cfg, datamodule, pretrained=checkpoint is None)
    logger = RunLogger(folder)
    trainer = build(
        cfg.trainer,
        "trainer",
        callbacks=build_callbacks(cfg, folder),
        logger=logger,
        default_root_dir=str(folder),
    )
    if classifier.freeze_schedule.freezes:
        _expect_frozen(trainer)
    if trainer.is_global_zero:
        _announce(cfg, datamodule, classifier, trainer, folder)
    if cfg.lr_find:
        cfg.optimizer.lr = _learning_rate(classifier, datamodule, trainer, folder)
        classifier.optimizer = build(cfg.optimizer, "optimizer")
        if cfg.lr_find == "only":
            return None
    if trainer.is_global_zero:
        declare_run(logger.experiment, cfg)
    with stoppable() as stop:
        try:
            trainer.fit(classifier, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as asked:  # what Lightning makes of Ctrl-C and SIGTERM
            if trainer.is_global_zero:
                log.warning("stopped; go on with: python scripts/train.py resume=%s", folder)
            terminated = isinstance(asked, SIGTERMException) and stop.status == TERMINATED
            raise SystemExit(TERMINATED if terminated else INTERRUPTED) from asked
    train_seconds = _train_seconds(trainer)
    device = trainer.strategy.root_device
    if not trainer.is_global_zero:
        return None
    if not RunFolder(folder).best_checkpoint.exists():
        raise RunError(
            f"no epoch of {folder} was validated, so there is no model to test: let it run one to its end, "
            "validation included (trainer.max_epochs, max_steps, limit_val_batches)"
        )
    best = read_checkpoint(RunFolder(folder).best_checkpoint)
    trained = load_classifier(RunFolder(folder).best_checkpoint, network=classifier.network)
    evaluation = evaluate_run(trained, datamodule, device, str(trainer.precision))
    training = {
        "train/images": len(datamodule.splits["train"]),
        "best_epoch": best["epoch"],
        "parameters": sum(parameter.numel() for parameter in classifier.network.parameters()),
        "macs": multiply_accumulates(classifier.network, datamodule.channels, datamodule.image_size),
        "train_images_per_second": _images_per_second(trainer),
        "train_seconds": train_seconds,
        "peak_memory_bytes": peak_memory_bytes(device),
        "precision": trainer.precision,
        "device": device_name(device),
    }
    evaluation = evaluation.with_metrics(training)
    metrics, predictions = evaluation.metrics, evaluation.predictions

    def log_to_tensorboard() -> None:
        log_results(logger.experiment, folder, metrics, predictions, trained, trainer.global_step)

    write_evaluation(evaluation, RunFolder(folder), cfg, trained, cfg.figures, log_to_tensorboard)
    return metrics


def _learning_rate(classifier: ExpressionModule, datamodule: FERDataModule, trainer: Trainer, folder: Path) -> float:
    """The rate of the range test, run once in a run folder."""
    found = RunFolder(folder).read_found_lr()
    if found is not None:
        return found
    if trainer.world_size > 1:
        raise ConfigError("lr_find runs on one device: give trainer.devices=1 lr_find=only, then optimizer.lr=…")
    device = trainer.strategy.root_device
    loader = datamodule.train_loader(device)
    epochs = trainer.max_epochs or 1
    return find_learning_rate(classifier.to(device), loader, str(trainer.precision), epochs, folder)


def build_classifier(cfg: DictConfig, datamodule: FERDataModule, pretrained: bool = True) -> ExpressionModule:
    """Network and LightningModule for the classes and channels of the data.

    Args:
        cfg: of a run.
        datamodule: set up.
        pretrained: whether to load `model.weights`; a resumed run has its own.
    """
    facts = {"num_classes": len(datamodule.classes), "in_chans": datamodule.channels}
    live: dict[str, Any] = {"classes": datamodule.classes} if accepts(cfg.model, "classes") else {}
    if not pretrained and accepts(cfg.model, "weights"):
        live["weights"] = "none"
    network = build(cfg.model, "model", **facts, **live)
    return build(
        cfg.module,
        "module",
        network=network,
        network_spec={**cast(dict[str, Any], OmegaConf.to_container(cfg.model, resolve=True)), **facts},
        classes=datamodule.classes,
        image_size=datamodule.image_size,
        stored_size=datamodule.stored_size,
        framing=datamodule.framing.to_dict(),
        mean=datamodule.mean,
        std=datamodule.std,
        optimizer=build(cfg.optimizer, "optimizer"),
        layerwise_lr=build(cfg.rates, "rates"),
        scheduler=build(cfg.scheduler, "scheduler"),
        freeze=build(cfg.freeze, "freeze"),
        loss=build(cfg.loss, "loss", class_counts=datamodule.class_counts),
    )


def build_callbacks(cfg: DictConfig, folder: Path) -> list[Callback]:
    """The callbacks of the config; checkpoints go into the run folder."""
    callbacks = [build(node, f"callbacks.{name}") for name, node in cfg.callbacks.items() if node is not None]
    for callback in callbacks:
        if isinstance(callback, BestCheckpoint | LastCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(RunFolder(folder).checkpoints)
    return callbacks


def _expect_frozen(trainer: Trainer) -> None:
    """Tell DDP, however it was chosen, that some parameters have no gradient; what the user says of it stands."""
    if isinstance(trainer.strategy, DDPStrategy):
        trainer.strategy._ddp_kwargs.setdefault("find_unused_parameters", True)


def _train_seconds(trainer: Trainer) -> float | None:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((callback.train_seconds for callback in callbacks if isinstance(callback, LastCheckpoint)), None)


def _images_per_second(trainer: Trainer) -> float | None:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    meters = (callback for callback in callbacks if isinstance(callback, Throughput))
    return next((meter.images_per_second for meter in meters), None)


def _announce(
    cfg: DictConfig,
    datamodule: FERDataModule,
    classifier: ExpressionModule,
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
