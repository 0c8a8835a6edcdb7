"""The command that packs a data set, audits it and says what it holds."""

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from fer.data.audit import SHARPNESS_RATIO, Audit, audit_pack
from fer.data.build_pack import build_pack
from fer.data.croissant import croissant
from fer.data.datasets import dataset
from fer.data.left_out import left_out_lines
from fer.data.pack import AUDIT, CROISSANT, DUPLICATES, Pack, open_pack
from fer.emotions import EMOTIONS
from fer.errors import ConfigError
from fer.faces.framing import Faces
from fer.files import replacing, write_json
from fer.reporting.face_grids import twins_figure

MAX_PAIRS = 12  # of duplicates in the sheet


def prepare(
    name: str,
    source: str | None,
    root: str,
    store_size: int,
    votes: bool = False,
    faces: Faces = "auto",
    align: bool = False,
) -> None:
    """Pack a source anew, in place of an older pack; audit it; print counts, what was left out, and the audit.

    Raises:
        ConfigError: no source given.
        DataError: a source that cannot be read.
    """
    if source is None:
        facts = dataset(name)
        where = f"; its owners give access at {facts.access}" if facts.by_agreement else ""
        raise ConfigError(f"say what you downloaded: data.source=PATH (a folder, archive or table){where}")
    console = Console()
    pack = open_pack(build_pack(root, name, source, store_size, votes, faces, align))
    console.print(f"pack: {pack.folder}", highlight=False, soft_wrap=True)
    facts = dataset(pack)
    console.print(
        f"data set: {facts.title}; {facts.protocol}; licence: {facts.licence}", highlight=False, soft_wrap=True
    )
    console.print(counts_table(pack))
    rejected = pack.manifest["rejected"]
    for line in left_out_lines((entry["name"], entry["reason"]) for entry in rejected):
        console.print(f"left out: {line}", highlight=False, markup=False, soft_wrap=True)
    with console.status("looking for duplicates"):
        audit = audit_pack(pack)
    write_json(pack.folder / AUDIT, audit.numbers)
    write_json(pack.folder / CROISSANT, croissant(pack))
    console.print(audit_table(audit.numbers))
    console.print(_remarks(audit.numbers), highlight=False)
    if len(audit.pairs):
        _draw(pack, audit)
        console.print(f"examples: {pack.folder / DUPLICATES}", highlight=False, soft_wrap=True)
    console.print(f"all numbers: {pack.folder / AUDIT}", highlight=False, soft_wrap=True)
    console.print(f"metadata: {pack.folder / CROISSANT} (Croissant)", highlight=False, soft_wrap=True)


def counts_table(pack: Pack) -> Table:
    """Images by split and emotion, and subjects by split."""
    counts = pack.manifest["counts"]
    emotions = [emotion for emotion in EMOTIONS if any(emotion in by for by in counts.values())]
    size = " x ".join(str(side) for side in pack.images.shape[1:])
    table = Table(
        title=f"{len(pack):,} images ({size}), {pack.manifest['layout']}",
        box=None,
        pad_edge=False,
        title_justify="left",
    )
    table.add_column("split", no_wrap=True)
    for heading in (*emotions, "all", "subjects"):
        table.add_column(heading, justify="right", no_wrap=True)
    for split, by in counts.items():
        subjects = set(pack.subjects[pack.splits == split].tolist()) - {""}
        numbers = [by.get(emotion, 0) for emotion in emotions]
        table.add_row(split, *(f"{n:,}" for n in (*numbers, sum(numbers))), str(len(subjects) or "unknown"))
    return table


def audit_table(numbers: dict[str, Any]) -> Table:
    """Exact and near duplicates side by side."""
    table = Table(title="duplicates (of photographs at least so many)", box=None)
    for heading in ("", "same pixels", "same photograph"):
        table.add_column(heading, justify="left" if not heading else "right")
    for key, meaning in (
        ("groups", "groups of duplicates"),
        ("images", "images in them"),
        ("conflicting_groups", "groups whose labels differ"),
        ("val_in_train", "validation images with a duplicate in training"),
        ("test_in_train", "test images with a duplicate in training"),
        ("test_in_val", "test images with a duplicate in validation"),
    ):
        table.add_row(meaning, *(f"{numbers[kind][key]:,}" for kind in ("exact", "near")))
    return table


def _remarks(numbers: dict[str, Any]) -> str:
    remarks = [f"{numbers['blank']:,} blank images"]
    remarks.append(f"largest class {numbers['largest_to_smallest_class']:.1f} times the smallest")
    if numbers["subjects_on_both_sides"]:
        remarks.append(f"{numbers['subjects_on_both_sides']} subjects are in more than one split")
    if any(numbers["near"][key] for key in ("val_in_train", "test_in_train")):
        remarks.append("data.drop_leaks=true leaves the duplicates out of training")
    blurriest, sharpest = (pick(numbers["sharpness"], key=numbers["sharpness"].get) for pick in (min, max))
    if numbers["sharpness"][sharpest] > SHARPNESS_RATIO * numbers["sharpness"][blurriest]:
        remarks.append(
            f"{blurriest} pictures are far blurrier than those of {sharpest} (neighbouring pixels differ by "
            f"{numbers['sharpness'][blurriest]:.1f} and {numbers['sharpness'][sharpest]:.1f} grey levels): this "
            "copy is damaged: accuracies on it compare with no others; get another copy"
        )
    return "; ".join(remarks)


def _draw(pack: Pack, audit: Audit) -> None:
    chosen = audit.pairs[np.linspace(0, len(audit.pairs) - 1, min(MAX_PAIRS, len(audit.pairs))).astype(int)]
    rows = chosen.ravel()
    figure = twins_figure(pack.images[rows], list(pack.splits[rows]), list(pack.emotions[rows]))
    with replacing(pack.folder / DUPLICATES, "wb") as file:
        figure.savefig(file, format="png")
