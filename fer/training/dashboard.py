"""What TensorBoard shows of a run besides its curves: hyperparameters with the real metrics, results, figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from omegaconf import DictConfig
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams


class RunLogger(TensorBoardLogger):
    """Events of one run, in `<folder>/tensorboard`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "tensorboard", name="", version="", default_hp_metric=False)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # Lightning adds the epoch to all it logs, which would be the dashboard's first chart: a straight line.
        super().log_metrics({tag: value for tag, value in metrics.items() if tag != "epoch"}, step)


# Tags of the HParams tab -> names in metrics.json
RESULTS = {
    "result/test_accuracy": "test/accuracy",
    "result/test_macro_f1": "test/macro_f1",
    "result/test_ece": "test/ece",
    "result/val_accuracy": "val/accuracy",
}


def hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    """The choices that runs differ in, flat."""
    chosen = {
        "model": cfg.model.get("backbone", cfg.model.get("_target_")),
        "weights": cfg.model.get("weights"),
        "data": cfg.data.name,
        "fold": cfg.data.fold if cfg.data.folds else None,
        "image_size": cfg.data.image_size,
        "batch_size": cfg.data.batch_size,
        "optimizer": _class_name(cfg.optimizer),
        "lr": cfg.optimizer.get("lr"),
        "weight_decay": cfg.optimizer.get("weight_decay"),
        "scheduler": _class_name(cfg.scheduler),
        "rates": _class_name(cfg.rates),
        "label_smoothing": cfg.loss.get("label_smoothing"),
        "ema_decay": cfg.module.get("ema_decay"),
        "epochs": cfg.trainer.max_epochs,
        "seed": cfg.seed,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def declare_hyperparameters(writer: SummaryWriter, cfg: DictConfig) -> None:
    """Enter the run in the HParams tab; its metrics follow when they are known."""
    experiment, start, _ = hparams(hyperparameters(cfg), dict.fromkeys(RESULTS, 0.0))
    writer._get_file_writer().add_summary(experiment)
    writer._get_file_writer().add_summary(start)


def log_results(writer: SummaryWriter, metrics: dict[str, Any], figures: dict[str, Figure], step: int) -> None:
    """Final numbers and figures of a run."""
    for tag, name in RESULTS.items():
        writer.add_scalar(tag, metrics[name], step)
    for name, figure in figures.items():
        writer.add_figure(f"test/{name}", figure, step)
    writer.close()


def _class_name(node: DictConfig) -> str:
    return str(node.get("_target_")).rsplit(".", 1)[-1]
