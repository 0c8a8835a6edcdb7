"""What TensorBoard shows of a run: charts in sections, hyperparameters with the real metrics, results, figures."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from fer.evaluation.inspection import penultimate_features
from fer.evaluation.metric_table import result_rows, shown_in
from fer.evaluation.split_predictions import SplitPredictions
from fer.models.classifier import ExpressionClassifier
from fer.reporting.figure_table import figures_in
from fer.runs.folder import RunFolder

POINTS, DIMENSIONS, SPRITE = 400, 48, 32  # of the projector: images, principal components, pixels on a side

# The charts of the Custom Scalars tab: section -> chart -> tags, of which one may be a pattern
LAYOUT = {
    "1 training and validation": {
        "loss": ["Multiline", ["train/loss", "val/loss"]],
        "accuracy": ["Multiline", ["train/accuracy", "val/accuracy"]],
        "macro F1": ["Multiline", ["train/macro_f1", "val/macro_f1"]],
    },
    "2 schedule": {
        "learning rate of each stage": ["Multiline", [r"learning_rate/.+"]],
        "parameters that train": ["Multiline", ["schedule/trainable_parameters"]],
    },
    "3 speed": {"training images a second": ["Multiline", ["throughput/images_per_second"]]},
}

SELECTED_BY = "val/accuracy"  # beside the metrics of the test in the HParams tab


class RunLogger(TensorBoardLogger):
    """Events of one run, in `tensorboard/` of its folder."""

    def __init__(self, save_dir: Path | str) -> None:
        super().__init__(RunFolder(save_dir).tensorboard, name="", version="", default_hp_metric=False)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # Lightning adds the epoch to all it logs, which would be the dashboard's first chart: a straight line.
        super().log_metrics({tag: float(value) for tag, value in metrics.items() if tag != "epoch"}, step)


def hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    """The choices that runs differ in, flat."""
    chosen = {
        "backbone": cfg.model.get("backbone", cfg.model.get("_target_")),
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


def hparams_tags() -> dict[str, str]:
    """Tags of the results in the HParams tab -> names in `metrics.json`."""
    names = [f"test/{metric.key}" for metric in shown_in("hparams")]
    return {f"result/{name.replace('/', '_')}": name for name in (*names, SELECTED_BY)}


def declare_run(writer: SummaryWriter, cfg: DictConfig) -> None:
    """Ahead of training: the charts' layout, the config as text, and the run in the HParams tab."""
    writer.add_custom_scalars(LAYOUT)
    writer.add_text("2_config", "\n".join(f"    {line}" for line in OmegaConf.to_yaml(cfg, resolve=True).splitlines()))
    experiment, start, _ = hparams(hyperparameters(cfg), dict.fromkeys(hparams_tags(), 0.0))
    writer._get_file_writer().add_summary(experiment)
    writer._get_file_writer().add_summary(start)


def log_results(
    writer: SummaryWriter,
    folder: Path,
    metrics: Mapping[str, Any],
    outcome: SplitPredictions,
    classifier: ExpressionClassifier,
    step: int,
) -> None:
    """After the test: the numbers, every figure of the run folder, a curve for each class, and the projector.

    Args:
        writer: of the run.
        folder: of the run, whose figures are written.
        metrics: by the names of `metrics.json`.
        outcome: of the test images.
        classifier: that was tested.
        step: the last of the training.
    """
    for tag, name in hparams_tags().items():
        writer.add_scalar(tag, metrics[name], step)
    writer.add_text("1_result", result_table(metrics), step)
    # The Time Series tab sorts groups by name and shows pictures too: `view` comes after all that is a curve.
    for number, (row, path) in enumerate(figures_in(RunFolder(folder).figures, "tensorboard"), start=1):
        add_png(writer, f"view_2_results/{number:02d}_{row.name}", path.read_bytes(), step)
    for index, name in enumerate(outcome.classes):
        writer.add_pr_curve(f"test/{name}", outcome.labels == index, outcome.probabilities[:, index], step)
    add_projector(writer, outcome, classifier)
    writer.close()


def result_table(metrics: Mapping[str, Any]) -> str:
    """Validation and test side by side, in Markdown."""
    rows = ["| | validation | test |", "| --- | ---: | ---: |"]
    rows += [f"| {' | '.join(row)} |" for row in result_rows("tensorboard", metrics, ("val", "test"))]
    report = RunFolder("").report_file.name
    rows.append(f"\nBest epoch {metrics['best_epoch']} (from 0). The report of the run is `{report}` in its folder.")
    return "\n".join(rows)


def add_png(writer: SummaryWriter, tag: str, content: bytes, step: int) -> None:
    """Show a PNG as it is; drawing or encoding it again would cost a tenth of a second."""
    width, height = struct.unpack(">II", content[16:24])
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=content)
    writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def add_projector(writer: SummaryWriter, outcome: SplitPredictions, classifier: ExpressionClassifier) -> None:
    """The last features of some test images, as principal components, with the images themselves."""
    if outcome.images is None or len(outcome) < 3:
        return
    chosen = np.sort(np.random.default_rng(0).permutation(len(outcome))[:POINTS])
    images = outcome.images(chosen)
    features = penultimate_features(classifier, images, classifier.device)
    if features is None or not np.isfinite(features).all():
        return
    truths = [outcome.classes[index] for index in outcome.labels[chosen]]
    said = [outcome.classes[index] for index in outcome.predicted[chosen]]
    right = ["correct" if flag else "wrong" for flag in outcome.correct[chosen]]
    losses = [f"{loss:.3f}" for loss in outcome.losses[chosen]]
    faces = torch.from_numpy(images).unsqueeze(1) if images.ndim == 3 else torch.from_numpy(images).permute(0, 3, 1, 2)
    writer.add_embedding(
        torch.from_numpy(principal_components(features, DIMENSIONS)),
        metadata=[list(row) for row in zip(truths, said, right, losses, strict=True)],
        metadata_header=["truth", "predicted", "result", "loss"],
        label_img=F.interpolate(faces.float() / 255, (SPRITE, SPRITE), mode="bilinear", antialias=True),
        tag="test_features",
    )


def principal_components(features: np.ndarray, count: int) -> np.ndarray:
    """Coordinates along the directions of largest variance, float32 [N, at most `count`], rounded to four digits.

    Args:
        features: float [N, D].
        count: of directions.
    """
    centred = features - features.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    coordinates = (left * scale)[:, :count]
    digits = 4 - np.ceil(np.log10(max(float(np.abs(coordinates).max()), 1e-12))).astype(int)
    return coordinates.round(int(digits)).astype(np.float32)


def _class_name(node: DictConfig) -> str:
    return str(node.get("_target_")).rsplit(".", 1)[-1]
