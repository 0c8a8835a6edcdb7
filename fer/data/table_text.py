"""Tables as text: which encoding, which separator, which columns, found by their content."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from fer.errors import DataError

HEAD = 1 << 16  # bytes in which the header is looked for
MAX_FIELD_CHARACTERS = 1 << 22  # characters: 1024 x 1024 pixels
SEPARATORS = ",;\t|"
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
BARE_ROW = re.compile(r'\s*"?\w+"?\s*[,;\t|]\s*"?(\d+ ){16,}')  # of a table of faces without a header


@dataclass(frozen=True)
class TableFormat:
    """How to read a table.

    Attributes:
        columns: of its header, folded to lower case, without spaces around them.
        header: as it stands.
        encoding: of its text.
        separator: between its fields.
        skipped: lines before its header.
    """

    columns: tuple[str, ...]
    header: str
    encoding: str
    separator: str
    skipped: int

    def rows(self, file: IO[bytes] | io.RawIOBase) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields of each row below the header, empty ones left out.

        Raises:
            csv.Error, UnicodeError: a damaged table.
        """
        before = csv.field_size_limit(MAX_FIELD_CHARACTERS)
        try:
            text = io.TextIOWrapper(io.BufferedReader(file, 1 << 20), self.encoding, newline="")  # type: ignore[type-var]
            reader = csv.reader(text, delimiter=self.separator)
            for _ in range(self.skipped + 1):
                next(reader, None)
            for fields in reader:
                if fields:
                    yield reader.line_num, fields
        finally:
            csv.field_size_limit(before)


def encoding_of(head: bytes) -> str:
    """The encoding of text that begins with some bytes; UTF-16 without a mark is known by its zeros."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    if len(head) >= 4 and head[1] == 0 and head[3] == 0 and head[0] != 0:
        return "utf-16-le"
    if len(head) >= 4 and head[0] == 0 and head[2] == 0 and head[1] != 0:
        return "utf-16-be"
    return "utf-8"


def table_format(file: IO[bytes]) -> TableFormat:
    """How to read the table in a file: the first line with text is its header; the separator finds most columns."""
    head = file.read(HEAD)
    encoding = encoding_of(head)
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    lines = io.StringIO(decoder.decode(head), newline=None).readlines() or [""]
    skipped = 0
    separators = SEPARATORS
    for line in lines:
        if match := re.fullmatch(r'"?sep=(.)"?\n?', line):  # which Excel writes above the header
            separators = match[1]
        elif line.strip():
            break
        skipped += 1
    header = lines[min(skipped, len(lines) - 1)]
    found = {separator: _columns(header, separator) for separator in separators}
    separator = max(found, key=lambda each: ("pixels" in found[each], len(found[each])))
    return TableFormat(found[separator], header.strip(), encoding, separator, skipped)


def is_table_of_faces(where: str, table: TableFormat) -> bool:
    """Whether a table has a column of pixels.

    Raises:
        DataError: it holds faces, but no header that can be read.
    """
    if "pixels" in table.columns:
        return True
    if re.search(r"(?i)emotion.*\bpixels\b", table.header):
        raise DataError(
            f"{where}: the fields of its header {table.header[:60]!r} are separated by none of comma, semicolon, tab "
            "and |: save it as a .csv with commas"
        )
    if BARE_ROW.match(table.header):
        raise DataError(f"{where} has no header: its first line is to name the columns, as emotion,pixels,Usage")
    return False


def _columns(header: str, separator: str) -> tuple[str, ...]:
    try:
        fields = next(csv.reader([header.strip()], delimiter=separator), [])
    except csv.Error:
        return ()
    return tuple(field.strip().strip('"\ufeff').strip().lower() for field in fields)


def whole_number(text: str) -> int | None:
    """A whole number as tables write it, `3` or `3.0`; None for all else."""
    match = re.fullmatch(r"([+-]?\d+)(?:\.0*)?", text.strip())
    return int(match[1]) if match else None
