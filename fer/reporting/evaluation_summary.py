"""The short table at the end of an evaluation."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

NUMBERS = (
    ("macro F1", "macro_f1"),
    ("balanced accuracy", "balanced_accuracy"),
    ("macro AUROC", "macro_auroc"),
    ("likelihood (NLL)", "nll"),
    ("  after calibration", "nll_calibrated"),
    ("Brier score", "brier"),
    ("  after calibration", "brier_calibrated"),
    ("calibration error", "ece"),
    ("  after calibration", "ece_calibrated"),
)


def print_evaluation(metrics: dict[str, Any], folder: Path, console: Console | None = None) -> None:
    """Numbers of the split, numbers of each class beside, then where things are.

    Args:
        metrics: of an evaluation, with `split` and `classes`.
        folder: where they were written.
    """
    split = metrics["split"]
    of = {name.removeprefix(f"{split}/"): value for name, value in metrics.items()}
    whole = Table(box=None, pad_edge=False, show_header=False)
    whole.add_column()
    whole.add_column(justify="right")
    whole.add_row("images", f"{of['images']:,}")
    if of["images_of_unknown_classes"]:
        whole.add_row("  left out", f"{of['images_of_unknown_classes']:,}")
    if of["subjects"] is not None:
        whole.add_row("subjects", f"{of['subjects']:,}")
    whole.add_row("accuracy", _share(of["accuracy"], 2))
    whole.add_row("  95 % interval", "[{}, {}]".format(*(_share(edge) for edge in of["accuracy_ci95"])))
    whole.add_row("  without twins", _share(of["accuracy_deduplicated"], 2))
    for name, key in NUMBERS:
        whole.add_row(name, "–" if of[key] is None else f"{of[key]:.4f}")
    classes = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "images", "precision", "recall", "F1", "AUROC"):
        classes.add_column(heading, justify="right" if heading else "left")
    for emotion in metrics["classes"]:
        shares = (_share(of[f"{name}_{emotion}"]) for name in ("precision", "recall", "f1"))
        area = of[f"auroc_{emotion}"]
        classes.add_row(emotion, f"{of[f'support_{emotion}']:,}", *shares, "–" if area is None else f"{area:.3f}")
    console = console or Console()
    console.print()
    console.print(whole)
    console.print()
    console.print(classes)
    console.print()
    for what, where in (("numbers", "metrics.json"), ("per image", "predictions.csv"), ("figures", "figures/")):
        if (folder / where).exists():
            console.print(f"{what:<11}{folder / where}", highlight=False, soft_wrap=True)


def _share(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}%}"
