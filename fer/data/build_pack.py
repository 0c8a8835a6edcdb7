"""Building packs, once per data set: source -> samples -> decoded pictures -> faces -> files."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import repeat
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fer.console import track
from fer.cores import in_order, usable_cores
from fer.data.attributes import counted, read_groups, take_groups
from fer.data.datasets import dataset, list_samples
from fer.data.file_kinds import SNIFFED, not_data
from fer.data.left_out import left_out_lines
from fer.data.pack import FORMAT, no_pack, read_manifest
from fer.data.provenance import fingerprint, is_made_from, is_older_drawing, open_download
from fer.data.samples import Listing, RawSample
from fer.data.sources import Source
from fer.data.write_pack import PictureBuffer, identity, is_pack_folder, write_pack
from fer.emotions import EMOTIONS, SPLITS
from fer.errors import DataError, PictureError
from fer.faces.framing import SAMPLE, Faces, Framing, FramingRecord, check_faces, choose_faces, is_photograph
from fer.faces.pictures import decode_picture
from fer.faces.resample import square
from fer.files import printable

log = logging.getLogger(__name__)

Place = tuple[int, bytes | None]  # the row of a sample, and its encoded picture where the listing gives it
FILLED = 0.95  # of a picture; one that a box fills so far is a face crop


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
    if folder.exists() and not is_pack_folder(folder):
        raise DataError(f"{folder} is where the pack goes, but holds other files; move them or give another data.root")
    before = identity(folder)
    with open_download(source) as files, PictureBuffer() as pictures:
        made_from = fingerprint(source, files.outermost)
        groups, where = take_groups(files, source)
        listing = _with_lost(list_samples(files, votes), files)
        listing = listing if groups is None else replace(listing, groups=groups)
        listing = listing if faces == "auto" else replace(listing, faces=faces)
        listing, framing = _frame(files, listing, pictures, store_size, align)
        _report_groups(listing, where or files.where)
        manifest = {
            "source": made_from,
            "dataset": listing.dataset or dataset(name).name,
            "faces": faces,
            **_facts(listing, framing),
        }
        if framing.method == "detector" or not pictures.uniform:
            manifest["store_size"] = store_size
        try:
            write_pack(folder, listing, pictures, manifest, store_size, before)
        except OSError as error:
            raise DataError(
                f"the pack {folder} cannot be written ({error}); free some space or move data.root"
            ) from error
    if listing.rejected:
        told = "; ".join(map(printable, left_out_lines(listing.rejected)))
        log.warning("%d files of %s were left out (%s)", len(listing.rejected), source, told)
    log.info("packed %s images of %s (%s) in %s", f"{len(listing.samples):,}", source, listing.layout, folder)
    return folder


def _facts(listing: Listing, framing: Framing) -> dict[str, Any]:
    """What the manifest says of the images."""
    return {
        "format": FORMAT,
        "layout": listing.layout,
        "framing": framing.to_dict(),
        "counts": count(listing.samples),
        "rejected": [{"name": printable(path), "reason": reason} for path, reason in listing.rejected],
    }


def _report_groups(listing: Listing, where: str) -> None:
    """Log the attributes of the people; raises DataError where their table is not of these data."""
    if listing.groups is not None:
        names, subjects = (np.array([getattr(s, key) for s in listing.samples]) for key in ("name", "subject"))
        log.info("groups: %s", "; ".join(counted(read_groups(listing.groups, names, subjects, where))))


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
    source: Source, listing: Listing, pictures: PictureBuffer, store_size: int, align: bool
) -> tuple[Listing, Framing]:
    """Decode the pictures of a listing and put the face of each into the buffer.

    Returns:
        The listing, unreadable pictures left out, and how faces were framed.
    """
    workers = 1 if listing.images is not None and not align else usable_cores()  # pixels need no decoding
    faces = choose_faces(_sample(source, listing, workers)) if listing.faces == "auto" else listing.faces
    samples, rejected, record = [], list(listing.rejected), FramingRecord(faces, store_size, align)

    def face_of(place: Place) -> np.ndarray | str:
        """What goes into the pack, or why nothing does."""
        row = place[0]
        try:
            picture = _decode(source, listing, *place)
        except (PictureError, ValueError, OSError) as error:
            return f"cannot be read as a picture: {error}"
        box = listing.boxes.get(listing.samples[row].name)
        if box is not None and _is_outside(picture, box):
            return "the box of its face lies outside the picture"
        face = _boxed(picture, box)
        if face is None:
            return record.face(picture)
        record.add_searched()
        return square(face, store_size)

    with closing(in_order(_places(listing), face_of, workers)) as found:
        for sample, face in zip(track(listing.samples, "reading pictures"), found, strict=True):
            if isinstance(face, str):
                rejected.append((sample.name, face))
                continue
            pictures.append(face)
            samples.append(replace(sample, name=printable(sample.name)))
    if not samples:
        raise DataError(f"none of the {len(listing.samples)} pictures in {source.where} can be read")
    if record.faceless:
        log.warning(
            "no face was found in %d of %d pictures: their central square is used", record.faceless, record.searched
        )
    return replace(listing, samples=samples, rejected=rejected), record.framing


def _sample(source: Source, listing: Listing, workers: int) -> Iterator[bool | None]:
    """Whether pictures, spread evenly over a listing, are photographs; None for small and unreadable ones."""

    def of_row(place: Place) -> bool | None:
        with suppress(PictureError, ValueError, OSError):
            return is_photograph(_decode(source, listing, *place))
        return None

    rows = set(np.linspace(0, len(listing.samples) - 1, SAMPLE).astype(int).tolist())
    return in_order((place for place in _places(listing) if place[0] in rows), of_row, workers)


def _places(listing: Listing) -> Iterator[Place]:
    contents = repeat(None) if listing.contents is None else listing.contents()
    return zip(range(len(listing.samples)), contents, strict=False)


def _decode(source: Source, listing: Listing, row: int, content: bytes | None) -> np.ndarray:
    """The picture of a sample: uint8 [H, W] or [H, W, 3]."""
    if listing.images is not None:
        return np.asarray(listing.images[row])
    if content is None:
        with source.reading:  # archives serve one thread at a time
            content = source.read(listing.samples[row].name)
    if what := not_data(content[:SNIFFED]):
        raise PictureError(what)
    return decode_picture(content)


def _is_outside(picture: np.ndarray, box: tuple[int, int, int, int]) -> bool:
    left, top, width, height = box
    return left >= picture.shape[1] or top >= picture.shape[0] or left + width <= 0 or top + height <= 0


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


def count(samples: Iterable[RawSample]) -> dict[str, dict[str, int]]:
    """Images by split and emotion, in the vocabulary's order, absent ones left out."""
    tally = Counter((sample.split, sample.emotion) for sample in samples)
    splits = [split for split in (*SPLITS, "all") if any(key[0] == split for key in tally)]
    return {s: {e: tally[s, e] for e in EMOTIONS if (s, e) in tally} for s in splits}
