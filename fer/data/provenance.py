"""Where a data set comes from: how it is opened or fetched, and by what it is recognised again."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fer.data.datasets import all_datasets, drawn
from fer.data.sources import FolderSource, Source, open_source
from fer.errors import DataError
from fer.faces.pictures import PICTURES
from fer.files import printable

KAGGLE = "kaggle:"
SAMPLED_FILES = (4096, 512)  # whose contents identify a folder: labels and the like, and pictures
MAX_SAMPLED_BYTES = 1 << 20  # of such a file


@contextmanager
def open_download(source: str) -> Iterator[Source]:
    """Open what `data.source` names: a path, `kaggle:OWNER/NAME`, or `drawn:STYLE`, which has no files.

    Raises:
        DataError: it cannot be opened or fetched.
    """
    if source.startswith(drawn.DRAWN):
        yield Source([source], f"data.source={source}")
        return
    path = fetch(source.removeprefix(KAGGLE)) if source.startswith(KAGGLE) else Path(source)
    with open_source(path) as files:
        yield files


def fetch(handle: str) -> Path:
    """Download `OWNER/NAME` from Kaggle by kagglehub, into its own cache.

    Raises:
        DataError: it cannot be fetched, kagglehub is not installed, or its owners give it under agreement only.
    """
    source = f"{KAGGLE}{handle}"
    letters = "".join(filter(str.isalnum, handle.lower().replace("+", "plus")))
    for facts in all_datasets():
        if facts.by_agreement and any(name in letters for name in (facts.name, *facts.other_names)):
            raise DataError(f"{source}: this set is given under agreement only; ask its owners: {facts.access}")
    try:
        import kagglehub
    except ImportError:
        raise DataError(f'data.source={source} needs kagglehub: pip install "fer-experiments[kaggle]"') from None
    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # its own kinds, and those of its HTTP client
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"data.source={source} cannot be fetched ({reason}); download it and give its path") from error


def is_made_from(recorded: dict[str, Any], source: str) -> bool:
    """Whether a pack's fingerprint is that of a source; those of older packs of folders have no contents."""
    now = fingerprint(source)
    if source.startswith(drawn.DRAWN):
        return recorded == now
    return recorded.get("sha256") == now["sha256"] and recorded.get("contents") in (None, now.get("contents"))


def is_older_drawing(recorded: dict[str, Any], source: str) -> bool:
    """Whether a pack holds the drawn faces of a source, perhaps as an older version drew them."""
    return source.startswith(drawn.DRAWN) and recorded.get("path") == source


def fingerprint(source: str, opened: Source | None = None) -> dict[str, Any]:
    """What a pack records of its source, to notice later that it was made from another one.

    A file is known by its SHA-256; a folder by that of its sorted listing of names and sizes, and by that of the
    contents of some of its files (SAMPLED_FILES); a drawn set by the version of its code, one on Kaggle by its name.

    Args:
        source: what `data.source` names.
        opened: the folder, where it was gone through already.
    """
    if source.startswith(drawn.DRAWN):
        return {"path": source, "version": drawn.VERSION}
    if source.startswith(KAGGLE):
        return {"path": source, "sha256": hashlib.sha256(source.encode()).hexdigest()}
    path = Path(source)
    if path.is_dir():
        listing, contents = hashlib.sha256(), hashlib.sha256()
        folder = opened or FolderSource(path)
        for name in folder.names:
            listing.update(f"{printable(name)}\0{folder.size(name)}\n".encode())
        for name in _sample([name for name in folder.names if folder.size(name) <= MAX_SAMPLED_BYTES]):
            try:
                contents.update((path / name).read_bytes())
            except OSError:  # it will be left out, named
                contents.update(b"unreadable")
        return {"path": str(path), "sha256": listing.hexdigest(), "contents": contents.hexdigest()}
    if not path.exists():
        raise DataError(f"data.source={source} does not exist")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"data.source={source} cannot be read: {error}") from error
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest}


def _sample(names: list[str]) -> list[str]:
    """Names evenly spaced among those of pictures, and among the others."""
    found = []
    pictures = [name for name in names if name.lower().endswith(PICTURES)]
    others = [name for name in names if not name.lower().endswith(PICTURES)]
    for some, most in ((others, SAMPLED_FILES[0]), (pictures, SAMPLED_FILES[1])):
        found += some[:: -(-len(some) // most) or 1]
    return found
