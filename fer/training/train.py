"""One run from config to finished run folder."""

import logging
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import SIGTERMException

from fer.data.datamodule import FERDataModule
from fer.device import accelerator_kind, choose_threads, device_name, peak_memory_bytes
from fer.errors import RunError
from fer.evaluation.evaluate import evaluate_run
from fer.evaluation.evaluation import Evaluation
from fer.evaluation.identity import code_facts
from fer.evaluation.inspection import multiply_accumulates
from fer.evaluation.novelty import fit_novelty
from fer.evaluation.test_readings import note_test_reading, settings_of, split_in_words
from fer.instantiate import build
from fer.models.classifier import ExpressionClassifier
from fer.models.load import load_classifier
from fer.models.losses import check_loss
from fer.models.network import build_network, with_stem_of_weights
from fer.models.weights import read_checkpoint
from fer.reporting.write import write_evaluation
from fer.runs.choices import Choices
from fer.runs.folder import RunFolder
from fer.runs.resume import checkpoint_to_resume, resumed_config
from fer.training.callbacks import Throughput
from fer.training.checkpoint import BestCheckpoint, LastCheckpoint
from fer.training.loggers import build_loggers, failure_marked, finish_logging, start_logging
from fer.training.lr_finder import find_learning_rate
from fer.training.module import ExpressionModule
from fer.training.trainer import INTERRUPTED, TERMINATED, quiet_lightning, sizes_told, stoppable

log = logging.getLogger(__name__)


def train(
    cfg: DictConfig, folder: Path, overrides: Sequence[str] = (), choices: Choices | None = None
) -> dict[str, Any] | None:
    """Train, select on validation, test the best checkpoint once, fill the run folder.

    Args:
        cfg: as `conf/train.yaml` composes it.
        folder: the run folder; with `cfg.resume`, that of the run to resume, whose own config then counts.
        overrides: those of the command line, to change in a resumed run.
        choices: what the run is started with, to be recorded; None where nobody chose by name.

    Returns:
        The content of `metrics.json`; None on ranks other than the first, and with `lr_find=only`.

    Raises:
        FERError: whatever a user can fix, in one line.
    """
    run = RunFolder(folder)
    if int(os.environ.get("LOCAL_RANK", 0)) or int(os.environ.get("NODE_RANK", 0)):  # the first rank holds the folder
        return _train(*_resumed(cfg, run, overrides), run)
    with run.only_writer():
        run.check_unfinished()
        run.remove_leftovers()
        cfg, checkpoint = _resumed(cfg, run, overrides)
        _record(cfg, run, choices, is_new=checkpoint is None)
        return _train(cfg, checkpoint, run)


def _record(cfg: DictConfig, run: RunFolder, choices: Choices | None, is_new: bool) -> None:
    """Write what the run is: its config, and by which choices it came to be."""
    before = None if is_new else run.read_choices()
    if choices is not None and (is_new or before is not None):
        run.write_choices(choices if before is None else before.resumed_with(choices))
    run.write_config(cfg)


def _resumed(cfg: DictConfig, run: RunFolder, overrides: Sequence[str]) -> tuple[DictConfig, Path | None]:
    """The config to train with, and the checkpoint to resume from; None for a new run."""
    checkpoint = checkpoint_to_resume(cfg, run.path)
    if checkpoint is not None:
        return resumed_config(cfg, run.path, overrides), checkpoint
    choose_stem_and_threads(cfg)
    return cfg, None


def choose_stem_and_threads(cfg: DictConfig) -> None:
    """Settle in a new run's config what its weights and the free cores decide; a resumed run has the same."""
    cfg.model = with_stem_of_weights(cfg.model)
    if "threads" in cfg.trainer and cfg.trainer.threads is None and accelerator_kind() == "cpu":
        cfg.trainer.threads = choose_threads()  # a resumed run has as many, so that it rounds alike


def _train(cfg: DictConfig, checkpoint: Path | None, run: RunFolder) -> dict[str, Any] | None:
    quiet_lightning()
    seed_everything(cfg.seed, verbose=False)
    data = build_data(cfg)
    module = build_module(cfg, data, pretrained=checkpoint is None)
    trainer = _build_trainer(cfg, run, module)
    if trainer.is_global_zero:
        _announce(cfg, data, module, trainer, run)
    if cfg.lr_find:
        with _sizes_told(data):
            cfg.optimizer.lr = find_learning_rate(module, data, trainer, run)
        module.optimizer = build(cfg.optimizer, "optimizer")
        if cfg.lr_find == "only":
            return None
    if not trainer.is_global_zero:
        _fit(module, data, trainer, checkpoint, run)
        return None
    start_logging(trainer.loggers, cfg, run.read_choices())
    with failure_marked(trainer.loggers):
        _fit(module, data, trainer, checkpoint, run)
        return _test(cfg, module, data, trainer, run, resumed=checkpoint is not None)


def _test(
    cfg: DictConfig, module: ExpressionModule, data: FERDataModule, trainer: Trainer, run: RunFolder, resumed: bool
) -> dict[str, Any]:
    """Test the best checkpoint and fill the run folder."""
    train_seconds = _train_seconds(trainer)
    classifier, best_epoch = _best_classifier(module, run)
    evaluation = evaluate_run(classifier, data, trainer.strategy.root_device, str(trainer.precision))
    novelty = fit_novelty(classifier, data, trainer.strategy.root_device)
    if novelty is not None:
        run.write_novelty(novelty.to_text())
    training = {**_costs(classifier, data, trainer), "best_epoch": best_epoch, "train_seconds": train_seconds}
    evaluation = evaluation.with_metrics(training | _note_reading(cfg, data, run, evaluation, resumed))
    log_results = partial(finish_logging, trainer.loggers, run, evaluation, classifier, trainer.global_step)
    return write_evaluation(evaluation, run, cfg, classifier, cfg.figures, log_results)


def build_data(cfg: DictConfig) -> FERDataModule:
    """The data of the config, prepared and set up."""
    data: FERDataModule = build(cfg.data, "data", augment=build(cfg.augment, "augment"), mix=build(cfg.mix, "mix"))
    data.prepare_data()
    data.setup()
    return data


def build_module(cfg: DictConfig, data: FERDataModule, pretrained: bool = True) -> ExpressionModule:
    """Network and LightningModule for the classes and channels of the data.

    Args:
        cfg: of a run.
        data: set up.
        pretrained: whether to load `model.weights`; a resumed run has its own.
    """
    network = build_network(cfg.model, data.classes, data.channels, pretrained)
    loss = build(cfg.loss, "loss", class_counts=data.class_counts)
    check_loss(loss, len(data.classes), soft=data.soft_labels or (data.mix is not None and data.mix.mixes))
    spec = cast(dict[str, Any], OmegaConf.to_container(cfg.model, resolve=True))
    return build(
        cfg.module,
        "module",
        network=network,
        network_spec={**spec, "num_classes": len(data.classes), "in_chans": data.channels},
        classes=data.classes,
        image_size=data.image_size,
        stored_size=data.stored_size,
        framing=data.framing.to_dict(),
        mean=data.mean,
        std=data.std,
        optimizer=build(cfg.optimizer, "optimizer"),
        layerwise_lr=build(cfg.rates, "rates"),
        scheduler=build(cfg.scheduler, "scheduler"),
        freeze=build(cfg.freeze, "freeze"),
        loss=loss,
    )


def build_callbacks(cfg: DictConfig, run: RunFolder) -> list[Callback]:
    """The callbacks of the config; checkpoints go into the run folder."""
    callbacks = [build(node, f"callbacks.{name}") for name, node in cfg.callbacks.items() if node is not None]
    for callback in callbacks:
        if isinstance(callback, BestCheckpoint | LastCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(run.checkpoints)
    return callbacks


def _build_trainer(cfg: DictConfig, run: RunFolder, module: ExpressionModule) -> Trainer:
    loggers = build_loggers(cfg, run)
    callbacks = build_callbacks(cfg, run)
    folder = str(run.path)
    trainer: Trainer = build(cfg.trainer, "trainer", callbacks=callbacks, logger=loggers, default_root_dir=folder)
    if module.freeze_schedule.freezes and isinstance(trainer.strategy, DDPStrategy):
        # DDP, however it was chosen, must know that some parameters have no gradient; the user's own setting counts.
        trainer.strategy._ddp_kwargs.setdefault("find_unused_parameters", True)
    return trainer


def _fit(
    module: ExpressionModule, data: FERDataModule, trainer: Trainer, checkpoint: Path | None, run: RunFolder
) -> None:
    """Train, from a checkpoint if there is one; a stopped run leaves with the exit status of its signal."""
    with stoppable() as stop, _sizes_told(data):
        try:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as asked:  # how Lightning leaves after Ctrl-C and SIGTERM
            if trainer.is_global_zero:
                log.warning("stopped; resume with: python scripts/train.py resume=%s", run)
            terminated = isinstance(asked, SIGTERMException) and stop.status == TERMINATED
            raise SystemExit(TERMINATED if terminated else INTERRUPTED) from asked


def _sizes_told(data: FERDataModule) -> AbstractContextManager[None]:
    return sizes_told(min(data.batch_size, len(data.splits["train"])), data.train_size(epoch=0))


def _best_classifier(module: ExpressionModule, run: RunFolder) -> tuple[ExpressionClassifier, int]:
    """The classifier that validation selected, and its epoch.

    Raises:
        RunError: no epoch was validated.
    """
    if not run.best_checkpoint.exists():
        raise RunError(
            f"no epoch of {run} was validated, so there is no model to test: let it run one to its end, "
            "validation included (trainer.max_epochs, max_steps, limit_val_batches)"
        )
    epoch = read_checkpoint(run.best_checkpoint)["epoch"]
    return load_classifier(run.best_checkpoint, network=module.network), epoch


def _note_reading(
    cfg: DictConfig, data: FERDataModule, run: RunFolder, evaluation: Evaluation, resumed: bool
) -> dict[str, int]:
    """Enter the test into the ledger of the pack; how often its test split was read so far."""
    settings = settings_of(cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True)))
    split = split_in_words("test", data.fold if data.folds else None)
    accuracy = evaluation.metrics.get("test/accuracy")
    readings = note_test_reading(data.folder, str(run), settings, split, accuracy, resumed)
    return {} if readings is None else readings.metrics("test")


def _costs(classifier: ExpressionClassifier, data: FERDataModule, trainer: Trainer) -> dict[str, Any]:
    """What the run took, by the names of `metrics.json`."""
    device = trainer.strategy.root_device
    meters = (callback for callback in _callbacks(trainer) if isinstance(callback, Throughput))
    return {
        "train/images": len(data.splits["train"]),
        "parameters": sum(parameter.numel() for parameter in classifier.network.parameters()),
        "macs": multiply_accumulates(classifier.network, data.channels, data.image_size),
        "train_images_per_second": next((meter.images_per_second for meter in meters), None),
        "peak_memory_bytes": peak_memory_bytes(device),
        "precision": trainer.precision,
        "device": device_name(device),
    }


def _train_seconds(trainer: Trainer) -> float | None:
    return next((each.train_seconds for each in _callbacks(trainer) if isinstance(each, LastCheckpoint)), None)


def _callbacks(trainer: Trainer) -> list[Callback]:
    return trainer.callbacks  # type: ignore[attr-defined]


def _announce(cfg: DictConfig, data: FERDataModule, module: ExpressionModule, trainer: Trainer, run: RunFolder) -> None:
    sizes = ", ".join(f"{len(rows):,} {split}" for split, rows in data.splits.items())
    log.info("data: %s, %s images of %d classes, %d px", cfg.data.name, sizes, len(data.classes), data.image_size)
    parameters = sum(parameter.numel() for parameter in module.network.parameters())
    name, weights = cfg.model.get("backbone", cfg.model.get("_target_")), cfg.model.get("weights")
    log.info("model: %s, %.1f million parameters, weights: %s", name, parameters / 1e6, weights)
    if module.freeze_schedule.freezes and weights == "none":
        log.warning("the freeze schedule freezes random weights: they will never mean anything; give model.weights")
    log.info("on: %s, %s; run folder: %s", device_name(trainer.strategy.root_device), trainer.precision, run)
    code_facts()  # the commit is that of the start, whatever changes meanwhile
