"""What a file is by its first bytes, whatever its name says."""

import bz2
import gzip
import lzma
import re
from collections.abc import Callable
from typing import Any

from fer.data.table_text import encoding_of

PART = re.compile(r"\.(zip|7z|tar|rar|gz|tgz)\.\d{2,3}$|\.z\d\d$|\.part\d+(\.rar)?$")  # of an archive in parts
UNFINISHED = (".crdownload", ".part", ".partial", ".download", ".aria2")
SNIFFED = 560  # bytes that tell
STREAMS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
COMPRESSED = (".gz", ".bz2", ".xz")
OTHERS = {  # what is not read, and what to do with it
    b"Rar!": "a RAR archive: unpack it and give the folder",
    b"7z\xbc\xaf\x27": "a 7z archive: unpack it and give the folder",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run git lfs pull, or download it again",
    b"%PDF": "a PDF document",
    b"\x89HDF": "an HDF5 file: convert it to folders of pictures",
    b"\xd0\xcf\x11\xe0": "an old Office document: save its table as .csv",
    b"MATLAB 5.0": "a MATLAB file: convert it to folders of pictures",
    b"SQLite format 3": "an SQLite database: export its table as .csv",
    b"\x80\x02": "a Python pickle, which is never unpacked",
    b"\x80\x03": "a Python pickle, which is never unpacked",
    b"\x80\x04": "a Python pickle, which is never unpacked",
    b"\x80\x05": "a Python pickle, which is never unpacked",
}


def is_archive(head: bytes) -> bool:
    """Whether a file that begins so is a zip or tar archive, or compressed."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06", *STREAMS)) or head[257:262] == b"ustar"


def not_data(head: bytes) -> str | None:
    """What a file is that begins so and holds no data that is read, and what to do; None for all else."""
    if not head:
        return "an empty file: download it again"
    for mark, what in OTHERS.items():
        if head.startswith(mark):
            return what
    return "a web page, not the file itself: download it again, signed in" if is_web_page(head) else None


def other_kind(head: bytes, name: str) -> str | None:
    """What a file is that begins so and is no data set, though of a kind that is read elsewhere; None for all else."""
    lower = name.lower()
    if PART.search(lower):
        return "one part of an archive in parts: join or unpack them, and give the whole"
    if lower.endswith(UNFINISHED):
        return "a download that was not finished: download it again"
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")) or head[8:12] == b"WEBP":
        return "a single picture: give the folder in which folders named after emotions hold pictures"
    if head[4:8] == b"ftyp" or head.startswith(b"\x1aE\xdf\xa3") or head[8:12] == b"AVI ":
        return "a video: scripts/predict.py input= reads videos; to train, pictures in folders are wanted"
    if head.startswith(b"\x93NUMPY"):
        return "a NumPy array: convert it to folders of pictures"
    return None


def not_itself(head: bytes) -> str | None:
    """What a file that begins so is in place of what its name promises: a web page, a Git LFS pointer; else None."""
    what = not_data(head)
    return what if what and what.startswith(("a web page", "a Git LFS")) else None


def is_web_page(head: bytes) -> bool:
    """Whether a file that begins so is HTML, as a download becomes where one has to sign in."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype", b"<html", b"<head")) or b"<html" in start[:256]


def is_text(head: bytes) -> bool:
    """Whether a file that begins so may be a table as text."""
    if encoding_of(head).startswith("utf-16") or encoding_of(head) == "utf-32":
        return True
    return not any(byte < 9 or 13 < byte < 32 for byte in head)
