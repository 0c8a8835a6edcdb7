"""Packs: a data set decoded once, as one array, one table and one manifest.

`<data.root>/<name>/` holds `images.npy` (uint8 [N, H, W], or [N, H, W, 3] where there is colour), `table.csv` (name,
emotion, split, subject), `manifest.json` and, where attributes of the people are known, `groups.csv`.
`fer.data.build_pack` makes them.
"""

import csv
import hashlib
import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fer.data.attributes import GROUPS, Groups, read_groups
from fer.data.datasets import dataset
from fer.errors import ConfigError, DataError
from fer.faces.framing import Framing

FORMAT = 1
MAX_CHECKED_BYTES = 1 << 28  # of images whose digest is checked on opening, a fifth of a second at most
AUDIT, DUPLICATES = "audit.json", "duplicates.png"  # which prepare writes beside
READINGS = "test_readings.csv"  # how often the test split was read, see `fer.evaluation.test_readings`
CROISSANT = "croissant.json"  # metadata that other tools read
PHOTOGRAPHS = "photographs.npz"  # which images show the same photograph, see `fer.data.near_duplicates`
REQUIRED_KEYS = ("source", "layout", "shape", "counts", "rejected", "sha256")  # of the manifest


@dataclass(frozen=True)
class Pack:
    """An opened pack; row i of every column belongs to image i."""

    folder: Path
    images: np.ndarray  # uint8 [N, H, W] or [N, H, W, 3], memory-mapped
    names: np.ndarray  # str [N]
    emotions: np.ndarray  # str [N]
    splits: np.ndarray  # str [N]: train, val, test or all
    subjects: np.ndarray  # str [N], empty where unknown
    manifest: dict[str, Any]
    votes: np.ndarray | None = None  # float32 [N, 8], shares of the vocabulary's emotions; None without votes

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def groups(self) -> Groups:
        """Attributes of the people, by `groups.csv` of the pack, which may be put there later; empty without one.

        Raises:
            DataError: see `fer.data.attributes.read_groups`.
        """
        file = self.folder / GROUPS
        try:
            return read_groups(file.read_bytes(), self.names, self.subjects, str(file)) if file.exists() else {}
        except OSError as error:
            raise DataError(f"{file} cannot be read ({error.strerror or error})") from error

    @property
    def sha256(self) -> str:
        """Of what the pack holds, images and table, wherever it is stored."""
        return hashlib.sha256(json.dumps(self.manifest["sha256"], sort_keys=True).encode()).hexdigest()

    @property
    def stored_size(self) -> int:
        """Shorter side of the stored pictures, pixels; of packs that older versions blurred, the side that shows it."""
        blurred = self.manifest.get("sharpness")
        return int(blurred["sharp_side"]) if blurred else min(self.images.shape[1:3])

    @property
    def framing(self) -> Framing:
        """How the pictures became faces; of older packs as far as their layout says.

        Raises:
            DataError: recorded by another version.
        """
        if "framing" not in self.manifest:
            return _older_framing(self.manifest)
        try:
            return Framing.from_dict(self.manifest["framing"])
        except ConfigError as error:
            raise DataError(f"the pack at {self.folder}: {error}; {_remake(self.folder)}") from error


def open_pack(folder: Path | str) -> Pack:
    """Open a pack and check that it is whole: format, shapes, the digest of its table, and that of small enough images.

    Raises:
        DataError: damaged, or written by another version; the line says how to remake it.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    remake = _remake(folder)
    try:
        images = np.lib.format.open_memmap(folder / "images.npy", mode="r")
        table = (folder / "table.csv").read_bytes()
        votes = np.load(folder / "votes.npy") if (folder / "votes.npy").exists() else None
    except (OSError, ValueError) as error:
        raise DataError(f"the pack at {folder} is damaged ({error}); {remake}") from error
    if list(images.shape) != manifest["shape"] or images.dtype != np.uint8:
        raise DataError(f"the pack at {folder} is damaged (images.npy is not what was written); {remake}")
    if hashlib.sha256(table).hexdigest() != manifest["sha256"]["table.csv"]:
        raise DataError(f"the pack at {folder} is damaged (table.csv has changed); {remake}")
    if images.nbytes <= MAX_CHECKED_BYTES and digest(folder / "images.npy") != manifest["sha256"]["images.npy"]:
        raise DataError(f"the pack at {folder} is damaged (images.npy has changed); {remake}")
    rows = list(csv.reader(io.StringIO(table.decode("utf-8"))))[1:]
    names, emotions, splits, subjects = (np.array(column) for column in zip(*rows, strict=True))
    return Pack(folder, images, names, emotions, splits, subjects, manifest, votes)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a pack.

    Raises:
        DataError: no pack there, one of another format, or a manifest that cannot be read.
    """
    if not folder.exists():
        raise no_pack(folder)
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        format_version = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is not a whole pack (manifest.json: {error!r}); {_remake(folder)}") from error
    if format_version != FORMAT:
        raise DataError(f"the pack at {folder} has format {format_version}, not {FORMAT}; {_remake(folder)}")
    absent = [key for key in REQUIRED_KEYS if key not in manifest]
    if absent:
        raise DataError(f"the pack at {folder} is damaged (manifest.json lacks {absent[0]}); {_remake(folder)}")
    return manifest


def _older_framing(manifest: dict[str, Any]) -> Framing:
    """The framing of packs that do not record it."""
    if manifest["layout"].startswith("original CK+"):
        return Framing("detector")
    if "store_size" not in manifest:  # pictures of one size, none of which was cut
        return Framing.of_crops(*manifest["shape"][1:3])
    if manifest["layout"].startswith("class folders"):
        return Framing("detector")
    return Framing("whole")


def no_pack(folder: Path) -> DataError:
    """The error where a pack is wanted and there is none."""
    facts = dataset(folder.name)
    return DataError(
        f"no pack at {folder}; make one by adding data.source=PATH (what you downloaded: a folder, archive or table) "
        f"or with: python scripts/prepare.py data={folder.name} data.source=PATH"
        + (f"; its owners give access at {facts.access}" if facts.by_agreement else "")
    )


def _remake(folder: Path) -> str:
    return f"remake it: python scripts/prepare.py data={folder.name} data.source=PATH"


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
