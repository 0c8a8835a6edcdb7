"""Which images of a pack show the same photograph, found once and kept beside the pack."""

import logging
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from fer.data.datasets.drawn import DRAWN
from fer.data.duplicates import exact_groups, pairs_of_groups
from fer.data.pack import PHOTOGRAPHS, Pack
from fer.files import replacing

log = logging.getLogger(__name__)

MOST_SEARCHED = 200_000  # images; the search compares each with every other, so that a million would take hours
METHOD = 1  # of `fer.data.photographs`: groups that another one found are found anew


def photograph_groups(pack: Pack) -> np.ndarray:
    """A number for each image, the same for those of one photograph; the same pixels among them: int64 [N].

    Drawn faces are no photographs: there are few kinds of them, and only those with the same pixels are grouped; so
    it is in packs of more than MOST_SEARCHED images.
    """
    exact = exact_groups(pack.images)
    if len(pack) < 2 or str(pack.manifest["source"].get("path", "")).startswith(DRAWN):
        return exact
    file = pack.folder / PHOTOGRAPHS
    known = _read(file, pack)
    if known is not None:
        return known
    if len(pack) > MOST_SEARCHED:
        log.warning(
            "%s has %s images, more than the %s among which other versions of a photograph are looked for: only those "
            "with the same pixels are found",
            pack.folder,
            f"{len(pack):,}",
            f"{MOST_SEARCHED:,}",
        )
        return exact
    from fer.data.photographs import Photographs

    log.info("looking for duplicates among %s images, once for this pack", f"{len(pack):,}")
    groups = Photographs(pack.images).groups(pairs_of_groups(exact), pack.splits)
    try:
        with replacing(file, "wb") as opened:
            np.savez_compressed(opened, groups=groups, method=METHOD, images=pack.manifest["sha256"]["images.npy"])
    except OSError as error:
        log.info("%s cannot be kept (%s): they will be looked for again", file, error)
    return groups


def have_duplicate(groups: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the images at `rows` have one of their group at `others`: bool [len(rows)]."""
    return np.isin(groups[rows], groups[others])


def _read(file: Path, pack: Pack) -> np.ndarray | None:
    """Groups that were found for these very images by this method; None where there are none."""
    try:
        with np.load(file) as content:
            groups: np.ndarray = content["groups"]
            made_by, made_of = int(content["method"]), str(content["images"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    current = made_by == METHOD and made_of == pack.manifest["sha256"]["images.npy"]
    return groups if current and groups.shape == (len(pack),) else None
