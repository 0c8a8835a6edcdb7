"""Making packs: what was downloaded is read and decoded once.

A pack is written to a temporary sibling and renamed: it is whole or absent.
"""

import csv
import hashlib
import io
import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from fer.data.buffer import PictureSpool
from fer.data.layouts import list_samples
from fer.data.pack import AUDIT, FORMAT, TWINS, digest, no_pack, read_manifest
from fer.data.provenance import DRAWN, fingerprint, local_path
from fer.data.samples import RawSample
from fer.data.sources import Source, open_source
from fer.emotions import EMOTIONS, SPLITS
from fer.errors import DataError, PictureError
from fer.faces.framing import Framing, FramingRecord
from fer.faces.pictures import decode_picture
from fer.files import printable, write_json

log = logging.getLogger(__name__)

COLUMNS = ("name", "emotion", "split", "subject")
FILES = {"images.npy", "table.csv", "manifest.json", "votes.npy", AUDIT, TWINS}


def ensure_pack(
    root: Path | str,
    name: str,
    source: str | None,
    store_size: int = 48,
    votes: bool = False,
) -> Path:
    """The folder of the pack `name`, made from `source` if it does not stand yet.

    Raises:
        DataError: no pack and no source; a source given that is not the one the pack was made from; a pack made
            with other `votes` than are asked for.
    """
    folder = Path(root) / name
    if not folder.exists():
        if source is None:
            raise no_pack(folder)
        return make_pack(root, name, source, store_size, votes)
    manifest = read_manifest(folder)
    if source is not None:
        made_from, given = manifest["source"], fingerprint(source)
        drawn = source.startswith(DRAWN)
        same = made_from == given if drawn else _is_same(made_from, given)
        if not same and drawn and made_from.get("path") == source:  # by an older version of the drawing code
            return make_pack(root, name, source, store_size, votes)
        if not same:
            raise DataError(
                f"the pack at {folder} was made from {made_from.get('path')}, not from data.source={source}; "
                f"remake it (python scripts/prepare.py data={name} data.source={source}) or give another data.root"
            )
    found = (folder / "votes.npy").exists()
    if votes != found:
        raise DataError(
            f"the pack at {folder} was made with{'' if found else 'out'} data.votes=true, data.votes="
            f"{str(votes).lower()} is asked for; give another name (data.name=NAME), or remake it with "
            "scripts/prepare.py"
        )
    size = manifest.get("store_size", store_size)
    if size != store_size:
        log.warning("%s holds images of %d px; data.store_size=%d needs a new pack", folder, size, store_size)
    return folder


def _is_same(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether two fingerprints are of one source; older packs of folders did not look at contents."""
    return before.get("sha256") == now["sha256"] and before.get("contents") in (None, now.get("contents"))


def make_pack(
    root: Path | str,
    name: str,
    source: str,
    store_size: int = 48,
    votes: bool = False,
) -> Path:
    """Read `source` and write its pack, in place of an older one.

    Raises:
        DataError: nothing readable in the source, a pack that cannot be written, files in its place that are no
            pack (the download itself, perhaps).
    """
    folder = Path(root) / name
    if folder.exists() and not _is_ours(folder):
        raise DataError(f"{folder} is where the pack goes, but holds other files; move them or give another data.root")
    stood = _identity(folder)
    made_from = fingerprint(source)
    if source.startswith(DRAWN):
        decoded = _draw(source.removeprefix(DRAWN))
    else:
        with open_source(local_path(source)) as opened:
            decoded = _decode(opened, source, store_size, votes)
    pictures = decoded.images if isinstance(decoded.images, PictureSpool) else nullcontext()
    manifest = {
        "format": FORMAT,
        "source": made_from,
        "layout": decoded.layout,
        "framing": decoded.framing.to_dict(),
        "counts": count(decoded.samples),
        "rejected": [{"name": printable(path), "reason": reason} for path, reason in decoded.rejected],
    }
    try:
        with pictures:
            _write(folder, decoded, manifest, stood, store_size)
    except OSError as error:
        raise DataError(f"the pack {folder} cannot be written ({error}); free some space or move data.root") from error
    if decoded.rejected:
        examples = "; ".join(f"{printable(path)}: {reason}" for path, reason in decoded.rejected[:3])
        log.warning("%d files of %s were left out (%s)", len(decoded.rejected), source, examples)
    log.info("packed %s images of %s (%s) in %s", f"{len(decoded.samples):,}", source, decoded.layout, folder)
    return folder


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds nothing but a pack's files, so that it may be replaced."""
    return folder.is_dir() and {entry.name for entry in folder.iterdir() if entry.name[0] != "."} <= FILES


Identity = tuple[int, int] | None


def _identity(folder: Path) -> Identity:
    """Tells a pack from one that is put in its place later; None where nothing stands."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _write(
    folder: Path,
    decoded: "Decoded",
    manifest: dict[str, Any],
    stood: Identity,
    store_size: int,
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        if isinstance(decoded.images, PictureSpool):
            if decoded.framing.method == "detector" or not decoded.images.uniform:
                manifest["store_size"] = store_size
            manifest["shape"] = list(decoded.images.save(temporary / "images.npy", store_size))
        else:
            manifest["shape"] = list(decoded.images.shape)
            np.save(temporary / "images.npy", decoded.images)
        if decoded.votes is not None:
            np.save(temporary / "votes.npy", decoded.votes)
        table = _table(decoded.samples)
        (temporary / "table.csv").write_bytes(table)
        manifest["sha256"] = {
            "table.csv": hashlib.sha256(table).hexdigest(),
            "images.npy": digest(temporary / "images.npy"),
        }
        write_json(temporary / "manifest.json", manifest)
        temporary.chmod(0o755)
        _move_into_place(temporary, folder, stood)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into_place(temporary: Path, folder: Path, stood: Identity) -> None:
    """Rename; the pack that stood at the start makes way, one that another process put there since stays."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.old.") as old:
        if stood is not None and _identity(folder) == stood:
            with suppress(FileNotFoundError):  # another process has just moved it
                os.replace(folder, Path(old) / folder.name)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not (folder / "manifest.json").exists():
                raise


def count(samples: Iterable[RawSample]) -> dict[str, dict[str, int]]:
    """Images by split and emotion, in the vocabulary's order, absent ones left out."""
    tally = Counter((sample.split, sample.emotion) for sample in samples)
    splits = [split for split in (*SPLITS, "all") if any(key[0] == split for key in tally)]
    return {s: {e: tally[s, e] for e in EMOTIONS if (s, e) in tally} for s in splits}


@dataclass(frozen=True)
class Decoded:
    """What goes into a pack."""

    images: np.ndarray | PictureSpool  # an array: uint8 [N, H, W] or [N, H, W, 3]
    samples: list[RawSample]
    layout: str
    rejected: list[tuple[str, str]]
    votes: np.ndarray | None = None
    record: FramingRecord | None = None  # None where the source gives pixels

    @property
    def framing(self) -> Framing:
        """How the pictures became faces; arrays hold faces already."""
        if self.record is not None:
            return self.record.framing
        assert isinstance(self.images, np.ndarray), "pictures are framed one by one"
        return Framing.of_crops(*self.images.shape[1:3])


def _draw(style: str) -> Decoded:
    from fer.data.datasets.drawn import STYLES, draw_faces

    if style not in STYLES:
        raise DataError(f"data.source={DRAWN}{style}: the drawn sets are {', '.join(DRAWN + s for s in STYLES)}")
    drawn = draw_faces(style)
    rows = zip(drawn.names, drawn.emotions, drawn.splits, drawn.subjects, strict=True)
    return Decoded(drawn.images, [RawSample(*row) for row in rows], "drawn faces", [])


def _decode(source: Source, where: str, store_size: int, votes: bool) -> Decoded:
    listing = list_samples(source, where, votes)
    if listing.images is not None:
        return Decoded(listing.images, listing.samples, listing.layout, listing.rejected, listing.votes)
    rejected = list(listing.rejected)
    samples, pictures, record = [], PictureSpool(), FramingRecord(listing.faces, store_size)
    for sample in track(listing.samples, description="reading pictures", transient=True):
        try:
            encoded = source.read(sample.name) if listing.contents is None else listing.contents[sample.name]
            picture = decode_picture(encoded)
        except (PictureError, ValueError, OSError) as error:
            rejected.append((sample.name, f"cannot be read as a picture: {error}"))
            continue
        pictures.append(record.face(picture))
        samples.append(sample)
    if not samples:
        raise DataError(f"none of the {len(listing.samples)} pictures in {where} can be read")
    if record.faceless:
        log.warning(
            "no face was found in %d of %d pictures: their central square stands in", record.faceless, record.searched
        )
    named = [replace(sample, name=printable(sample.name)) for sample in samples]
    return Decoded(pictures, named, listing.layout, rejected, record=record)


def _table(samples: list[RawSample]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows((s.name, s.emotion, s.split, s.subject) for s in samples)
    return text.getvalue().encode("utf-8")
