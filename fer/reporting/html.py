"""`report.html` of a run or evaluation: what was done, the numbers, the figures, how to repeat it, what it is worth."""

import csv
import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fer.evaluation.metric_table import class_rows, result_rows
from fer.files import replacing
from fer.reporting.captions import CAPTIONS, in_order
from fer.reporting.facts import NAMES, data_name, facts, run_title
from fer.reporting.limits import limits
from fer.reporting.page import page, picture, table

REPORT = "report.html"
OVERRIDES = "overrides.json"  # of a run of all folds: what the command line said
FACES = {"predictions", "top_losses", "gradcam"}  # figures whose brightness must stay what it is
BROAD = {"top_losses", "gradcam", "classes", "precision_recall", "training_curves"}  # unreadable on a phone's width


def write_report(folder: Path, metrics: Mapping[str, Any], config: DictConfig | None = None) -> Path:
    """Write `report.html`, one page that needs nothing else.

    Args:
        folder: of a run or evaluation; its figures and `folds.csv` are shown where they stand.
        metrics: by the names of `metrics.json`.
        config: of the run; None reads `config.yaml` where it stands, and does without where not.
    """
    if config is None and (folder / "config.yaml").exists():
        loaded = OmegaConf.load(folder / "config.yaml")
        config = loaded if isinstance(loaded, DictConfig) else None
    splits = [split for split in NAMES if f"{split}/accuracy" in metrics]
    judged = splits[-1] if splits else "test"
    title = run_title(metrics, config)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(_subtitle(folder, judged))}</p>',
        _headline(metrics, judged),
        "<h2>What was done</h2>",
        _facts(metrics, config),
        "<h2>Results</h2>",
        _results(metrics, splits),
        _classes(metrics, judged),
        _folds(folder),
        "<h2>Figures</h2>",
        *_figures(folder / "figures"),
        "<h2>Repeat it</h2>",
        _commands(folder, metrics, config),
        "<h2>What these numbers do not say</h2>",
        _limits(metrics, config, judged),
    ]
    with replacing(folder / REPORT) as file:
        file.write(page(title, "\n".join(part for part in parts if part)))
    return folder / REPORT


def _subtitle(folder: Path, judged: str) -> str:
    return ", ".join([f"{datetime.now():%Y-%m-%d}", str(folder), f"judged on {NAMES[judged]}"])


def _headline(metrics: Mapping[str, Any], judged: str) -> str:
    """The result in one sentence."""
    accuracy, bounds = metrics.get(f"{judged}/accuracy"), metrics.get(f"{judged}/accuracy_ci95")
    if accuracy is None:
        return ""
    images, people = metrics.get(f"{judged}/images"), metrics.get(f"{judged}/subjects")
    of = f"{images:,} {judged} images" if isinstance(images, int) else f"the {judged} images"
    if people:
        of += f" of {people:,} people"
    sure = ""
    if bounds:
        sure = f" (95 % interval {bounds[0]:.1%} to {bounds[1]:.1%}, over {'people' if people else 'images'})"
    return f'<p class="headline"><strong>{accuracy:.1%}</strong> of {escape(of)} are recognised{escape(sure)}.</p>'


def _facts(metrics: Mapping[str, Any], config: DictConfig | None) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts(metrics, config))
    return f'<dl class="facts">{rows}</dl>'


def _results(metrics: Mapping[str, Any], splits: Sequence[str]) -> str:
    caption = "Calibration is by a temperature fitted on validation images."
    return table(["", *(NAMES[split] for split in splits)], result_rows("report", metrics, splits), caption=caption)


def _classes(metrics: Mapping[str, Any], judged: str) -> str:
    rows = class_rows("report", metrics, judged)
    if not rows:
        return ""
    return f"<h3>Each class</h3>{table(rows[0], rows[1:], caption=f'{NAMES[judged]} images'.capitalize())}"


def _folds(folder: Path) -> str:
    if not (folder / "folds.csv").exists():
        return ""
    with (folder / "folds.csv").open(encoding="utf-8", newline="") as file:
        heading, *rows = csv.reader(file)
    return f"<h3>Each fold</h3>{table(heading, [[_short(cell) for cell in row] for row in rows])}"


def _short(cell: str) -> str:
    """A number with four digits after the point where it has more."""
    try:
        return cell if len(cell) < 7 or "." not in cell else f"{float(cell):.4f}"
    except ValueError:
        return cell


def _figures(folder: Path) -> list[str]:
    """Each figure with its caption; vectors where they stand."""
    found = {path.stem: path for path in (*folder.glob("*.png"), *folder.glob("*.svg"))}
    shown = []
    for name in in_order(list(found)):
        title, sentence = CAPTIONS.get(name, (name.replace("_", " ").capitalize(), ""))
        look = ("faces" if name in FACES else "chart") + (" broad" if name in BROAD else "")
        figure = picture(found[name], title, sentence)
        shown.append(f'<section class="{look}"><h3>{escape(title)}</h3>{figure}</section>')
    return shown or ["<p>None were drawn.</p>"]


def _commands(folder: Path, metrics: Mapping[str, Any], config: DictConfig | None) -> str:
    if config is None:
        return f"<pre><code>{escape(_evaluation_command(metrics))}</code></pre>"
    if (folder / OVERRIDES).exists():  # runs of folds, which begin from what the command line said
        given = shlex.join(json.loads((folder / OVERRIDES).read_text(encoding="utf-8")))
        return f"<pre><code>{escape(f'python scripts/train.py {given} folds=all')}</code></pre>"
    again = (
        f"python scripts/train.py --config-path={shlex.quote(str(folder.absolute()))} --config-name=config \\\n"
        "    hydra.run.dir=outputs/again hydra.output_subdir=null"
    )
    use = f"python scripts/evaluate.py checkpoint={shlex.quote(str(folder))}"
    return (
        "<p>From the config in this folder, into a new one; on the same machine the numbers come out the same:</p>"
        f"<pre><code>{escape(again)}</code></pre><p>The tested checkpoint on the test images again, or on others "
        f"(<code>data=…</code>):</p><pre><code>{escape(use)}</code></pre>"
    )


def _evaluation_command(metrics: Mapping[str, Any]) -> str:
    checkpoint = metrics.get("checkpoint", "CHECKPOINT")
    given = checkpoint if isinstance(checkpoint, str) else f"[{','.join(map(str, checkpoint))}]"
    return f"python scripts/evaluate.py {shlex.join([f'checkpoint={given}', *metrics.get('overrides', [])])}"


def _limits(metrics: Mapping[str, Any], config: DictConfig | None, judged: str) -> str:
    pack, fold, classes = str(metrics.get("data", "")), "", len(metrics.get("classes") or [])
    if isinstance(metrics.get("fold"), int):
        fold = f"fold {metrics['fold']}"
    if config is not None:
        pack = str(OmegaConf.select(config, "data.pack") or data_name(config))
        if OmegaConf.select(config, "data.folds") and "folds" not in metrics:
            fold = f"fold {OmegaConf.select(config, 'data.fold')} of {OmegaConf.select(config, 'data.folds')}"
    classes = classes or sum(name.startswith(f"{judged}/support_") for name in metrics)
    items = "".join(f"<li>{escape(line)}</li>" for line in limits(pack, classes, metrics, judged, fold))
    return f"<ul>{items}</ul>"
