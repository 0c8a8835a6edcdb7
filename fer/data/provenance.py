"""Where a data set comes from: how it is got, who owns it, and by what it is known again."""

import hashlib
from pathlib import Path
from typing import Any

from fer.data.sources import FolderSource
from fer.errors import DataError
from fer.faces.pictures import PICTURES
from fer.files import printable

DRAWN = "drawn:"
KAGGLE = "kaggle:"
OWNERS = {  # of sets under agreement: never fetched from copies
    "ckplus": "https://www.jeffcohn.net/Resources/",
    "rafdb": "http://www.whdeld.cn/RAF/model1.html",
    "affectnet": "http://mohammadmahoor.com/affectnet/",
}
SAMPLED = (4096, 512)  # files of a folder whose contents tell it from another: labels and the like, and pictures
LARGEST_SAMPLED = 1 << 20  # bytes


def local_path(source: str) -> Path:
    """Where a source is on this machine; `kaggle:OWNER/NAME` is fetched by kagglehub, into its own cache.

    Raises:
        DataError: it cannot be fetched, kagglehub is not installed, or its owners give it under agreement only.
    """
    if not source.startswith(KAGGLE):
        return Path(source)
    handle = source.removeprefix(KAGGLE)
    letters = "".join(filter(str.isalnum, handle.lower().replace("+", "plus")))
    for name, owner in OWNERS.items():
        if name in letters or (name == "ckplus" and "cohnkanade" in letters):
            raise DataError(f"{source}: this set is given under agreement only; ask its owners: {owner}")
    try:
        import kagglehub
    except ImportError:
        raise DataError(f'data.source={source} needs kagglehub: pip install "fer-experiments[kaggle]"') from None
    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # its own kinds, and those of its HTTP client
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"data.source={source} cannot be fetched ({reason}); download it and give its path") from error


def owner_of(name: str) -> str | None:
    """Where the owners of a set under agreement give access; None for other sets."""
    return next((owner for known, owner in OWNERS.items() if name.startswith(known)), None)


def fingerprint(source: str) -> dict[str, Any]:
    """What a pack records of its source, to notice later that it was made from another one.

    A file is known by its SHA-256; a folder by that of its sorted listing of names and sizes, and by that of the
    contents of some of its files (SAMPLED); a drawn set by the version of the drawing code, one on Kaggle by its name.
    """
    if source.startswith(DRAWN):
        from fer.data.datasets.drawn import VERSION

        return {"path": source, "version": VERSION}
    if source.startswith(KAGGLE):
        return {"path": source, "sha256": hashlib.sha256(source.encode()).hexdigest()}
    path = Path(source)
    if path.is_dir():
        listing, contents = hashlib.sha256(), hashlib.sha256()
        names = FolderSource(path).names
        sizes = {name: (path / name).stat().st_size for name in names}
        for name in names:
            listing.update(f"{printable(name)}\0{sizes[name]}\n".encode())
        for name in _sample([name for name in names if sizes[name] <= LARGEST_SAMPLED]):
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
    for some, most in ((others, SAMPLED[0]), (pictures, SAMPLED[1])):
        found += some[:: -(-len(some) // most) or 1]
    return found
