"""Building packs, once per data set: source -> samples -> decoded pictures -> faces -> files.

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
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np
from PIL import Image
from rich.progress import track

from fer.data.datasets import dataset, list_samples
from fer.data.file_kinds import SNIFFED, not_data
from fer.data.left_out import left_out_lines
from fer.data.pack import AUDIT, DUPLICATES, FORMAT, PHOTOGRAPHS, digest, no_pack, read_manifest
from fer.data.provenance import fingerprint, is_made_from, is_older_drawing, open_download
from fer.data.samples import Listing, RawSample
from fer.data.sources import Source
from fer.emotions import EMOTIONS, SPLITS
from fer.errors import DataError, PictureError
from fer.faces.framing import SAMPLE, Faces, Framing, FramingRecord, check_faces, choose_faces, square
from fer.faces.pictures import decode_picture
from fer.files import printable, write_json

log = logging.getLogger(__name__)

COLUMNS = ("name", "emotion", "split", "subject")
ADDED = {AUDIT, DUPLICATES, PHOTOGRAPHS, "twins.png"}  # beside a pack; the last one by older versions
FILES = {"images.npy", "table.csv", "manifest.json", "votes.npy", *ADDED}
FILLED = 0.95  # of a picture; one that a box fills so far is a face crop
BUFFER_BYTES = 1 << 30  # of pictures that are held in memory; the rest waits in a temporary file


def ensure_pack(
    root: Path | str,
    name: str,
    source: str | None,
    store_size: int = 48,
    votes: bool = False,
    faces: Faces = "auto",
    align: bool = False,
) -> Path:
    """The folder of the pack `name`, built from `source` if it does not exist yet.

    Raises:
        DataError: no pack and no source; a source given that is not the one the pack was built from; a pack built
            with other `votes`, `faces` or `align` than are asked for.
    """
    folder = Path(root) / name
    if not folder.exists():
        if source is None:
            raise no_pack(folder)
        return build_pack(root, name, source, store_size, votes, faces, align)
    manifest = read_manifest(folder)
    if source is not None and not is_made_from(manifest["source"], source):
        if is_older_drawing(manifest["source"], source):
            return build_pack(root, name, source, store_size, votes, faces, align)
        raise DataError(
            f"the pack at {folder} was made from {manifest['source'].get('path')}, not from data.source={source}; "
            f"remake it (python scripts/prepare.py data={name} data.source={source}) or give another data.root"
        )
    if manifest.get("sharpness"):
        log.warning("%s: an older version blurred these pictures to make splits alike; make a new pack of them", folder)
    found = (folder / "votes.npy").exists()
    if votes != found:
        raise DataError(
            f"the pack at {folder} was made with{'' if found else 'out'} data.votes=true, data.votes="
            f"{str(votes).lower()} is asked for; give another name (data.name=NAME), or remake it with "
            "scripts/prepare.py"
        )
    _check_framing(folder, manifest, faces, align)
    size = manifest.get("store_size", store_size)
    if size != store_size:
        log.warning("%s holds images of %d px; data.store_size=%d needs a new pack", folder, size, store_size)
    return folder


def _check_framing(folder: Path, manifest: dict[str, Any], faces: Faces, align: bool) -> None:
    """Raises DataError where a pack was framed otherwise than is asked for; the default takes any."""
    made = {"faces": manifest.get("faces", "auto"), "align": manifest.get("framing", {}).get("align", False)}
    asked = {"faces": made["faces"] if faces == "auto" else faces, "align": align}
    if asked["faces"] != made["faces"] or align > made["align"]:
        was, now = (" ".join(f"data.{key}={str(value).lower()}" for key, value in of.items()) for of in (made, asked))
        raise DataError(
            f"the pack at {folder} was made with {was}, {now} is asked for; give another name (data.pack=NAME), or "
            "remake it with scripts/prepare.py"
        )
    if made["align"] and not align:
        log.warning("the faces of %s are aligned: it was made with data.align=true", folder)


def build_pack(
    root: Path | str,
    name: str,
    source: str,
    store_size: int = 48,
    votes: bool = False,
    faces: Faces = "auto",
    align: bool = False,
) -> Path:
    """Read `source` and write its pack, in place of an older one.

    Args:
        root: folder of the packs.
        name: of the pack.
        source: what was downloaded, see `fer.data.provenance.open_download`.
        store_size: side of packed images where the source's sizes differ, pixels.
        votes: whether the labels are those of FER+, in place of FER2013's own.
        faces: how pictures become faces, see `FramingRecord`; `auto` leaves it to the layout.
        align: whether faces are turned until the eyes are level, see `Framing`.

    Raises:
        DataError: nothing readable in the source, a pack that cannot be written, files in its place that are no
            pack (the download itself, perhaps).
    """
    check_faces(faces)
    folder = Path(root) / name
    if folder.exists() and not _is_ours(folder):
        raise DataError(f"{folder} is where the pack goes, but holds other files; move them or give another data.root")
    before, made_from = _identity(folder), fingerprint(source)
    with open_download(source) as files, PictureBuffer() as pictures:
        listing = _with_lost(list_samples(files, votes), files)
        listing = listing if faces == "auto" else replace(listing, faces=faces)
        listing, framing = _frame(files, listing, pictures, store_size, align)
        manifest = {
            "format": FORMAT,
            "source": made_from,
            "dataset": listing.dataset or dataset(name).name,
            "layout": listing.layout,
            "faces": faces,
            "framing": framing.to_dict(),
            "counts": count(listing.samples),
            "rejected": [{"name": printable(path), "reason": reason} for path, reason in listing.rejected],
        }
        if framing.method == "detector" or not pictures.uniform:
            manifest["store_size"] = store_size
        try:
            _write(folder, listing, pictures, manifest, store_size, before)
        except OSError as error:
            raise DataError(
                f"the pack {folder} cannot be written ({error}); free some space or move data.root"
            ) from error
    if listing.rejected:
        told = "; ".join(map(printable, left_out_lines(listing.rejected)))
        log.warning("%d files of %s were left out (%s)", len(listing.rejected), source, told)
    log.info("packed %s images of %s (%s) in %s", f"{len(listing.samples):,}", source, listing.layout, folder)
    return folder


def _with_lost(listing: Listing, source: Source) -> Listing:
    """A listing whose rejected files include what its reader never saw: dead links, unreadable folders and the like."""
    told = {sample.name for sample in listing.samples} | {name for name, _ in listing.rejected}
    links = [
        (link, f"a link into {PurePosixPath(target).parent}, where the file is read itself")
        for link, target in source.links.items()
    ]
    unread = [entry for entry in links if entry[0] not in told]
    return replace(listing, rejected=[*listing.rejected, *source.lost, *unread])


def _frame(
    source: Source, listing: Listing, pictures: "PictureBuffer", store_size: int, align: bool
) -> tuple[Listing, Framing]:
    """Decode the pictures of a listing and put the face of each into the buffer.

    Returns:
        The listing, unreadable pictures left out, and how faces were framed.
    """
    faces = choose_faces(_sample(source, listing)) if listing.faces == "auto" else listing.faces
    samples, rejected, record = [], list(listing.rejected), FramingRecord(faces, store_size, align)
    for row, sample in enumerate(track(listing.samples, description="reading pictures", transient=True)):
        try:
            picture = _decode(source, listing, row)
        except (PictureError, ValueError, OSError) as error:
            rejected.append((sample.name, f"cannot be read as a picture: {error}"))
            continue
        face = _boxed(picture, listing.boxes.get(sample.name))
        record.searched += face is not None
        pictures.append(record.face(picture) if face is None else square(face, store_size))
        samples.append(replace(sample, name=printable(sample.name)))
    if not samples:
        raise DataError(f"none of the {len(listing.samples)} pictures in {source.where} can be read")
    if record.faceless:
        log.warning(
            "no face was found in %d of %d pictures: their central square is used", record.faceless, record.searched
        )
    return replace(listing, samples=samples, rejected=rejected), record.framing


def _sample(source: Source, listing: Listing) -> list[np.ndarray]:
    """Some pictures of a listing, spread evenly over it; unreadable ones left out."""
    rows = np.unique(np.linspace(0, len(listing.samples) - 1, SAMPLE).astype(int))
    pictures = []
    for row in rows.tolist():
        with suppress(PictureError, ValueError, OSError):
            pictures.append(_decode(source, listing, row))
    return pictures


def _decode(source: Source, listing: Listing, row: int) -> np.ndarray:
    """The picture of a sample: uint8 [H, W] or [H, W, 3]."""
    if listing.images is not None:
        return np.asarray(listing.images[row])
    name = listing.samples[row].name
    content = source.read(name) if listing.contents is None else listing.contents[name]
    if what := not_data(content[:SNIFFED]):
        raise PictureError(what)
    return decode_picture(content)


def _boxed(picture: np.ndarray, box: tuple[int, int, int, int] | None) -> np.ndarray | None:
    """The square around the box of a face, as far as the picture goes; None without a box within a larger picture.

    Args:
        picture: uint8 [H, W] or [H, W, 3].
        box: left, top, width, height, pixels.
    """
    if box is None:
        return None
    left, top, width, height = box
    side = max(width, height)
    x, y = left + (width - side) // 2, top + (height - side) // 2
    face = picture[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
    return face if face.size and min(face.shape[:2]) < FILLED * min(picture.shape[:2]) else None


class PictureBuffer:
    """Takes pictures one by one and writes them as one array, once their common shape is known."""

    def __init__(self) -> None:
        self.file = tempfile.SpooledTemporaryFile(max_size=BUFFER_BYTES, prefix="fer-")  # noqa: SIM115 - see __exit__
        self.shapes: list[tuple[int, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __len__(self) -> int:
        return len(self.shapes)

    def append(self, picture: np.ndarray) -> None:
        """Take a picture: uint8 [H, W] or [H, W, 3]."""
        self.file.write(picture.tobytes())
        self.shapes.append(picture.shape)

    @property
    def uniform(self) -> bool:
        """Whether all pictures have one size, and keep it."""
        return len({shape[:2] for shape in self.shapes}) == 1

    def save(self, path: Path, store_size: int) -> tuple[int, ...]:
        """Write `.npy`: colour if most pictures have some, native size where uniform, else central squares.

        Args:
            path: uint8 [N, H, W] or [N, H, W, 3] goes there.
            store_size: side of the squares where sizes differ, pixels.

        Returns:
            The shape of the array.
        """
        colour = 2 * sum(len(shape) == 3 for shape in self.shapes) > len(self.shapes)
        size = self.shapes[0][:2] if self.uniform else (store_size, store_size)
        shape = (len(self.shapes), *size, *((3,) if colour else ()))
        self.file.seek(0)
        with path.open("wb") as file:  # not memory-mapped: on a full disk that would end the process
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for own in self.shapes:
                picture = np.frombuffer(self.file.read(int(np.prod(own))), np.uint8).reshape(own)
                if colour and picture.ndim == 2:
                    picture = np.repeat(picture[..., None], 3, axis=2)
                elif not colour and picture.ndim == 3:
                    picture = np.asarray(Image.fromarray(picture).convert("L"))
                file.write((picture if picture.shape[:2] == size else square(picture, store_size)).tobytes())
        return shape


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds nothing but a pack's files, so that it may be replaced."""
    return folder.is_dir() and {entry.name for entry in folder.iterdir() if entry.name[0] != "."} <= FILES


Identity = tuple[int, int] | None


def _identity(folder: Path) -> Identity:
    """Tells a pack from one that is put in its place later; None where there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _write(
    folder: Path,
    listing: Listing,
    pictures: PictureBuffer,
    manifest: dict[str, Any],
    store_size: int,
    before: Identity,
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        manifest["shape"] = list(pictures.save(temporary / "images.npy", store_size))
        if listing.votes is not None:
            np.save(temporary / "votes.npy", listing.votes)
        table = _table(listing.samples)
        (temporary / "table.csv").write_bytes(table)
        manifest["sha256"] = {
            "table.csv": hashlib.sha256(table).hexdigest(),
            "images.npy": digest(temporary / "images.npy"),
        }
        write_json(temporary / "manifest.json", manifest)
        temporary.chmod(0o755)
        _move_into_place(temporary, folder, before)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into_place(temporary: Path, folder: Path, before: Identity) -> None:
    """Rename; the pack that was there at the start makes way, one that another process put there since stays."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.old.") as old:
        older = Path(old) / folder.name
        if before is not None and _identity(folder) == before:
            with suppress(FileNotFoundError):  # another process has just moved it
                os.replace(folder, older)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not (folder / "manifest.json").exists():
                if older.exists():
                    os.replace(older, folder)
                raise


def count(samples: Iterable[RawSample]) -> dict[str, dict[str, int]]:
    """Images by split and emotion, in the vocabulary's order, absent ones left out."""
    tally = Counter((sample.split, sample.emotion) for sample in samples)
    splits = [split for split in (*SPLITS, "all") if any(key[0] == split for key in tally)]
    return {s: {e: tally[s, e] for e in EMOTIONS if (s, e) in tally} for s in splits}


def _table(samples: list[RawSample]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows((s.name, s.emotion, s.split, s.subject) for s in samples)
    return text.getvalue().encode("utf-8")
