"""`report.html` of a run, an evaluation or pooled folds: what was done, the numbers, the figures, how to repeat it."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from fer.errors import RunError
from fer.evaluation.deletion import deletion_in_words
from fer.evaluation.metric_table import MISSING, class_rows, result_rows, shown_in
from fer.files import replacing
from fer.reporting.alt_texts import alt_text
from fer.reporting.cells import confusion_table, errors_table
from fer.reporting.checklist import CAPTION, checklist
from fer.reporting.facts import NAMES, baseline_remark, data_name, facts, limits, run_title
from fer.reporting.figure_table import FigureRow, figures_in
from fer.reporting.groups import groups_table
from fer.reporting.render import render_html
from fer.runs.folder import RunFolder

Content = TypeVar("Content")


def write_report(folder: Path, metrics: Mapping[str, Any], config: DictConfig | None = None) -> Path:
    """Write `report.html`, one page that needs no other file.

    Args:
        folder: of a run or evaluation, whose figures the page shows.
        metrics: by the names of `metrics.json`.
        config: of the run; None reads `config.yaml` where it exists.

    Returns:
        The path of the page.
    """
    run = RunFolder(folder)
    if config is None and run.is_run():
        config = run.read_config()
    splits = [split for split in NAMES if f"{split}/accuracy" in metrics]
    reported = splits[-1] if splits else "test"
    predictions, history = _read(run.read_predictions), _read(run.read_history) or {}
    figures = [
        (
            _with_check(row, metrics, reported),
            path,
            alt_text(row.name, row.title, metrics, reported, predictions, history),
        )
        for row, path in figures_in(run.figures, "report", (".png", ".svg"))
    ]
    page = render_html(
        "report.html.j2",
        title=run_title(metrics, config),
        subtitle=f"{datetime.now():%Y-%m-%d}, {folder}, results on {NAMES[reported].removesuffix(' images')} images",
        headline=_headline(metrics, reported),
        remark=baseline_remark(metrics, reported),
        facts=[*_chosen(run), *facts(metrics, config)],
        results={"headings": ["", *(NAMES[split] for split in splits)], "rows": result_rows("report", metrics, splits)},
        classes=_classes(metrics, reported),
        groups=groups_table(metrics, reported),
        folds=_folds(metrics.get("folds") or []),
        confusion=predictions and confusion_table(predictions, run.figures),
        errors=predictions and errors_table(predictions),
        figures=figures,
        commands=_commands(run, metrics, config),
        limits=_limits(metrics, config, reported),
        checklist={"rows": checklist(metrics, config, _data(metrics, config), reported), "caption": CAPTION},
    )
    with replacing(run.report_file) as file:
        file.write(page)
    return run.report_file


def _read(read: Callable[[], Content]) -> Content | None:
    """A table of the folder; None where it has none that can be read."""
    try:
        return read()
    except RunError:
        return None


def _chosen(run: RunFolder) -> list[tuple[str, str]]:
    """What was typed, in the words that name the run in comparisons and in TensorBoard."""
    choices = _read(run.read_choices)
    return [("chosen", ", ".join(choices.overrides))] if choices is not None and choices.overrides else []


def _with_check(row: FigureRow, metrics: Mapping[str, Any], split: str) -> FigureRow:
    """A figure whose caption says how far its maps can be believed, where it has any."""
    check = deletion_in_words(metrics, split) if row.name == "gradcam" else ""
    return replace(row, caption=f"{row.caption} {check}") if check else row


def _headline(metrics: Mapping[str, Any], split: str) -> dict[str, str] | None:
    """The accuracy, and the sentence that it begins."""
    accuracy, bounds = metrics.get(f"{split}/accuracy"), metrics.get(f"{split}/accuracy_ci95")
    if accuracy is None:
        return None
    images, people = metrics.get(f"{split}/images"), metrics.get(f"{split}/subjects")
    text = f"of {images:,} {split} images" if isinstance(images, int) else f"of the {split} images"
    text += f" of {people:,} {'person' if people == 1 else 'people'}" if people else ""
    text += " are classified correctly"
    if bounds:
        units = f"{people:,} people" if people else "images"
        text += f" (95 % interval {bounds[0]:.1%} to {bounds[1]:.1%}, over {units})"
    elif people == 1:
        text += " (95 % interval not estimable: one person says nothing of other people)"
    return {"accuracy": f"{accuracy:.1%}", "text": f"{text}."}


def _classes(metrics: Mapping[str, Any], split: str) -> dict[str, Any] | None:
    rows = class_rows("report", metrics, split)
    return {"headings": rows[0], "rows": rows[1:], "caption": f"{NAMES[split]} images".capitalize()} if rows else None


def _folds(folds: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The table of pooled folds: metrics as the metric table says, other numbers with four digits."""
    metrics = {metric.key: metric for metric in shown_in("folds")}

    def cell(name: str, value: Any) -> str:
        if name in metrics:
            return metrics[name].text(value)
        return MISSING if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)

    if not folds:
        return None
    headings = [metrics[name].label if name in metrics else name.replace("_", " ") for name in folds[0]]
    return {"headings": headings, "rows": [[cell(*item) for item in fold.items()] for fold in folds]}


def _commands(run: RunFolder, metrics: Mapping[str, Any], config: DictConfig | None) -> list[tuple[str, str]]:
    """How to repeat it: what a command does, and the command."""
    if config is None:
        checkpoint = metrics.get("checkpoint", "CHECKPOINT")
        given = checkpoint if isinstance(checkpoint, str) else f"[{','.join(map(str, checkpoint))}]"
        arguments = shlex.join([f"checkpoint={given}", *metrics.get("overrides", [])])
        return [("", f"python scripts/evaluate.py {arguments}")]
    overrides = run.read_overrides()
    if overrides is not None:  # each fold began from this command line
        return [("", f"python scripts/train.py {shlex.join(overrides)} folds=all")]
    again = (
        f"python scripts/train.py --config-path={shlex.quote(str(run.path.absolute()))} --config-name=config \\\n"
        "    hydra.run.dir=outputs/again hydra.output_subdir=null"
    )
    return [
        ("Train again from the config in this folder. On the same machine the numbers come out the same:", again),
        (
            "Evaluate the tested checkpoint again, on its own test images or on other data (data=…):",
            f"python scripts/evaluate.py checkpoint={shlex.quote(str(run.path))}",
        ),
    ]


def _data(metrics: Mapping[str, Any], config: DictConfig | None) -> str:
    """The name of the pack, or of what was evaluated."""
    given = metrics.get("data", "") if config is None else OmegaConf.select(config, "data.pack") or data_name(config)
    return str(given)


def _limits(metrics: Mapping[str, Any], config: DictConfig | None, split: str) -> list[str]:
    fold, classes = "", len(metrics.get("classes") or [])
    if isinstance(metrics.get("fold"), int) and not metrics.get("folds"):
        fold = f"fold {metrics['fold']}"
    if config is not None and OmegaConf.select(config, "data.folds") and "folds" not in metrics:
        fold = f"fold {OmegaConf.select(config, 'data.fold')} of {OmegaConf.select(config, 'data.folds')}"
    classes = classes or sum(name.startswith(f"{split}/support_") for name in metrics)
    return limits(_data(metrics, config), classes, metrics, split, fold)
