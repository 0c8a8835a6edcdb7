"""The short table at the end of a run."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def print_summary(metrics: dict[str, Any], folder: Path, took: timedelta, console: Console | None = None) -> None:
    """Numbers of validation and test side by side, then where things are."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "validation", "test"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("images", *(f"{metrics[f'{split}/images']:,}" for split in ("val", "test")))
    table.add_row("accuracy", *(f"{metrics[f'{split}/accuracy']:.2%}" for split in ("val", "test")))
    table.add_row("  95 % interval", *(_interval(metrics[f"{split}/accuracy_ci95"]) for split in ("val", "test")))
    for name, key in (
        ("macro F1", "macro_f1"),
        ("balanced accuracy", "balanced_accuracy"),
        ("calibration error", "ece"),
        ("  after calibration", "ece_calibrated"),
    ):
        table.add_row(name, *(f"{metrics[f'{split}/{key}']:.4f}" for split in ("val", "test")))
    console = console or Console()
    console.print()
    console.print(table)
    speed = metrics["train_images_per_second"]
    rate = f", {speed:,.0f} training images/s" if speed else ""
    console.print(f"\nbest epoch {metrics['best_epoch']} (from 0); {took} in all{rate}", highlight=False)
    for what, where in (
        ("report", "report.html"),
        ("numbers", "metrics.json"),
        ("per image", "predictions.csv"),
        ("figures", "figures/"),
        ("best model", "checkpoints/best.ckpt"),
    ):
        console.print(f"{what:<11}{folder / where}", highlight=False, soft_wrap=True)
    console.print(f"{'dashboard':<11}tensorboard --logdir {folder}", highlight=False, soft_wrap=True)


def _interval(bounds: list[float]) -> str:
    return f"[{bounds[0]:.1%}, {bounds[1]:.1%}]"
