"""Files that are whole or absent, and names for them."""

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)  # of a disk

# As `tempfile.mkstemp` names what will be renamed, of the kinds that we write
LEFTOVER = re.compile(r"\..+(\.(ckpt|csv|json|html|jpe?g|png|svg|yaml|txt)\.[a-z0-9_]{8}|\.[a-z0-9_]{8}\.(webm|mp4))")


@contextmanager
def replacing(path: Path | str, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary sibling for writing; it takes the place of `path` once it is written and flushed.

    A failure of any kind leaves the file that stood at `path` as it was.

    Raises:
        OSError: it cannot be written; `filename` says what.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # nobody knows the temporary name
    try:
        with os.fdopen(handle, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in REFUSALS and error.filename in (None, temporary):
            raise OSError(error.errno, error.strerror, str(path)) from error  # writing to a full disk names no file
        raise


def remove_leftovers(*folders: Path) -> None:
    """Remove the temporary files of writers that were killed; only whoever holds the folders alone may call it."""
    for folder in folders:
        for path in folder.glob(".*.*"):
            if LEFTOVER.fullmatch(path.name):
                path.unlink(missing_ok=True)


def new_folder(wanted: Path) -> Path:
    """Make a folder that nobody else has: `wanted`, or with a number behind it where others were faster."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("there is always a next number")


def printable(path: str) -> str:
    """A path as text that every encoding takes: bytes of it that are no UTF-8 are escaped."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def typeable(name: str) -> str:
    """A name that can be typed back on the command line: no `=`, comma, bracket, quote or space."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-")


def write_json(path: Path | str, content: Any) -> None:
    """Write `content` as indented JSON; NaN and infinity are refused, for few readers take them."""
    with replacing(path) as file:
        json.dump(content, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
