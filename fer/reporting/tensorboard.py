"""What TensorBoard shows of a run: charts in sections, hyperparameters with the real metrics, results, figures."""

import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from fer.evaluation.inspection import penultimate_features
from fer.evaluation.metric_table import result_rows, shown_in
from fer.evaluation.split_predictions import SplitPredictions
from fer.models.classifier import ExpressionClassifier
from fer.reporting.figure_table import figures_in
from fer.runs.choices import Choices
from fer.runs.folder import RunFolder
from fer.runs.naming import NAMED_ELSEWHERE, short_name, short_value

POINTS, DIMENSIONS, SPRITE = 400, 48, 32  # of the projector: images, principal components, pixels on a side

# Sections stand in the order of their names: `train` and `val` come first, results with their pictures follow, then
# what is looked at when something is wrong. Start of a tag -> as the dashboard has it; other loggers keep the first.
SECTIONS = {
    "result/": "view_2_results/",
    "gradient_norm/": "watch_gradient_norm/",
    "learning_rate/": "watch_learning_rate/",
    "schedule/": "watch_schedule/",
    "throughput/": "watch_throughput/",
}
# The charts of the Custom Scalars tab: section -> chart -> tags, of which one may be a pattern
LAYOUT = {
    "1 training and validation": {
        "loss": ["Multiline", ["train/loss", "val/loss"]],
        "accuracy": ["Multiline", ["train/accuracy", "val/accuracy"]],
        "macro F1": ["Multiline", ["train/macro_f1", "val/macro_f1"]],
        "recall of each class, validation": ["Multiline", [r"val_recall/.+"]],
    },
    "2 schedule": {
        "learning rate of each stage": ["Multiline", [r"watch_learning_rate/.+"]],
        "gradient norm of each stage": ["Multiline", [r"watch_gradient_norm/.+"]],
        "parameters that train": ["Multiline", ["watch_schedule/trainable_parameters"]],
    },
    "3 speed": {"training images a second": ["Multiline", ["watch_throughput/images_per_second"]]},
}

FAILED = ".failed"  # end of the name of the file that says so
# Keys that most comparisons vary, beside those that were typed
COMMON_KEYS = (
    "model.weights", "data.fold", "data.image_size", "data.batch_size", "optimizer.lr", "optimizer.weight_decay",
    "loss.label_smoothing", "module.ema_decay", "trainer.max_epochs", "seed",
)  # fmt: skip
SELECTED_BY = "val/accuracy"  # beside the metrics of the test in the HParams tab


class RunLogger(TensorBoardLogger):
    """Events of one run, in `tensorboard/` of its folder."""

    def __init__(self, save_dir: Path | str) -> None:
        super().__init__(RunFolder(save_dir).tensorboard, name="", version="", default_hp_metric=False)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # Lightning adds the epoch to all it logs, which would be the dashboard's first chart: a straight line.
        super().log_metrics({shown_tag(tag): float(value) for tag, value in metrics.items() if tag != "epoch"}, step)


def shown_tag(tag: str) -> str:
    """The tag of a number in the dashboard."""
    start = next((start for start in SECTIONS if tag.startswith(start)), "")
    return SECTIONS.get(start, "") + tag.removeprefix(start)


def hyperparameters(cfg: DictConfig, choices: Choices | None = None) -> dict[str, Any]:
    """What runs differ in, flat, by the names that comparisons use: config groups, common keys, and all that was typed.

    Args:
        cfg: of a run.
        choices: as they were typed; where there is no record, classes stand for options of groups.
    """
    nodes = [(str(name), node) for name, node in cfg.items() if isinstance(node, DictConfig) and "_target_" in node]
    groups = choices.groups if choices is not None else {name: _class_name(node) for name, node in nodes}
    left_out = (*NAMED_ELSEWHERE, "module", "callbacks")
    chosen: dict[str, Any] = {name: option for name, option in groups.items() if name not in left_out}
    for key in (*COMMON_KEYS, *(choices.typed if choices is not None else ())):
        value = OmegaConf.select(cfg, key)
        if isinstance(value, DictConfig) or value is None or (key == "data.fold" and not cfg.data.folds):
            continue
        chosen[short_name(key)] = value if isinstance(value, bool | int | float) else short_value(str(value))
    network = cfg.model.get("backbone", _class_name(cfg.model))
    return {"backbone": network, "data": cfg.data.name, **chosen}


def hparams_tags() -> dict[str, str]:
    """Tags of the results -> names in `metrics.json`."""
    names = [f"test/{metric.key}" for metric in shown_in("hparams")]
    return {f"result/{name.replace('/', '_')}": name for name in (*names, SELECTED_BY)}


def declare_run(writer: SummaryWriter, cfg: DictConfig, choices: Choices | None = None) -> None:
    """Ahead of training: the charts' layout, the config as text, and the run, as running, in the HParams tab."""
    for mark in Path(writer.get_logdir()).glob(f"*{FAILED}"):  # it is resumed
        mark.unlink()
    writer.add_custom_scalars(LAYOUT)
    writer.add_text("2_config", "\n".join(f"    {line}" for line in OmegaConf.to_yaml(cfg, resolve=True).splitlines()))
    experiment, start, _ = hparams(
        hyperparameters(cfg, choices), dict.fromkeys((shown_tag(tag) for tag in hparams_tags()), 0.0)
    )
    for summary in (with_names(experiment), start):
        writer._get_file_writer().add_summary(summary)


def with_names(experiment: Summary) -> Summary:
    """The summary of the HParams tab, with metrics by the names of `metrics.json` as the headings of its columns."""
    plugin = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    names = {shown_tag(tag): name for tag, name in hparams_tags().items()}
    for info in content.experiment.metric_infos:
        info.display_name = names[info.name.tag]
    plugin.content = content.SerializeToString()
    return experiment


def end_of_session(status: int) -> Summary:
    """That a run has ended, for the HParams tab: `STATUS_SUCCESS` or `STATUS_FAILURE`."""
    *_, end = hparams({}, {})
    plugin = end.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    content.session_end_info.status = status
    plugin.content = content.SerializeToString()
    return end


def declare_columns(folder: Path, columns: dict[str, Any], varied: Collection[str]) -> None:
    """The columns of the HParams tab over several runs: TensorBoard takes those of the first run otherwise.

    Args:
        folder: of all runs.
        columns: name -> some value, of the type of all.
        varied: those that differ, which come first.
    """
    experiment, *_ = hparams(columns, dict.fromkeys((shown_tag(tag) for tag in hparams_tags()), 0.0))
    plugin = with_names(experiment).value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    for info in content.experiment.hparam_infos:
        info.differs = info.name in varied
    plugin.content = content.SerializeToString()
    with SummaryWriter(str(folder)) as writer:
        writer._get_file_writer().add_summary(experiment)


def mark_failed(folder: Path) -> None:
    """That a run crashed, in a file of its own, which is removed where the run is resumed."""
    with SummaryWriter(str(folder), filename_suffix=FAILED) as writer:
        writer._get_file_writer().add_summary(end_of_session(api_pb2.STATUS_FAILURE))


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
        writer.add_scalar(shown_tag(tag), metrics[name], step)
    writer.add_text("1_result", result_table(metrics), step)
    # The Time Series tab sorts groups by name and shows pictures too: `view` comes after all that is a curve.
    for number, (row, path) in enumerate(figures_in(RunFolder(folder).figures, "tensorboard"), start=1):
        add_png(writer, f"view_2_results/{number:02d}_{row.name}", path.read_bytes(), step)
    for index, name in enumerate(outcome.classes):
        writer.add_pr_curve(f"test/{name}", outcome.labels == index, outcome.probabilities[:, index], step)
    add_projector(writer, outcome, classifier)
    writer._get_file_writer().add_summary(end_of_session(api_pb2.STATUS_SUCCESS))
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
