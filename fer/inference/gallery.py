"""The pictures that a prediction leaves: annotated copies and contact sheets, drawn and written beside it."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from fer.files import replacing, typeable
from fer.inference.annotate import COLUMNS, ROWS, annotated, contact_sheet, label
from fer.inference.stream import Seen

WRITERS, BEHIND = 2, 16  # threads, and pictures that may wait for them
SAVING: dict[str, dict[str, int]] = {"JPEG": {"quality": 88}, "PNG": {"compress_level": 3}}
NAME = 60  # letters of a picture's own name that its copy keeps


class Gallery:
    """Takes what was seen, picture by picture; all is written when it closes.

    Args:
        folder: of `annotated/` and the sheets.
        copies: whether to annotate copies.
        sheets: whether to draw contact sheets, COLUMNS * ROWS faces each.
    """

    def __init__(self, folder: Path, copies: bool, sheets: bool) -> None:
        self.folder, self.copies, self.sheets = folder, copies, sheets
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="gallery")
        self._writing: deque[Future[None]] = deque()
        self._page: list[tuple[np.ndarray, str, str]] = []  # faces, captions, notes
        self._pages = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                if self._page:
                    self._turn()
                self._finish(0)
        finally:
            self._pool.shutdown(cancel_futures=True)

    def add(self, number: int, seen: Seen) -> None:
        """Take a picture; `number` goes ahead of its copy's name."""
        if self.copies and seen.preview is not None:
            shown, predictions = seen.preview, seen.predictions
            path = self.folder / "annotated" / copy_name(number, seen.path)
            self._write(path, "JPEG", lambda: annotated(shown, predictions))
        if self.sheets and seen.framed is not None:
            note = os.path.basename(seen.path)
            for face, prediction in zip(seen.framed.faces, seen.predictions, strict=True):
                self._page.append((face, label(prediction), note))
                if len(self._page) == COLUMNS * ROWS:
                    self._turn()

    def _turn(self) -> None:
        self._pages += 1
        name = "contact_sheet.png" if self._pages == 1 else f"contact_sheet_{self._pages}.png"
        faces, captions, notes = zip(*self._page, strict=True)
        self._page = []
        self._write(self.folder / name, "PNG", lambda: contact_sheet(faces, captions, notes))

    def _write(self, path: Path, form: str, draw: Callable[[], Image.Image]) -> None:
        def work() -> None:
            with replacing(path, "wb") as file:
                draw().save(file, form, **SAVING[form])

        self._writing.append(self._pool.submit(work))
        self._finish(BEHIND)

    def _finish(self, waiting: int) -> None:
        """Wait until no more than so many are left to write; errors of writing come out here."""
        while len(self._writing) > waiting:
            self._writing.popleft().result()


def copy_name(number: int, path: str) -> str:
    """What an annotated copy is called: numbered, so that no name can leave the folder or meet another."""
    return f"{numbered(number, path)}.jpg"


def numbered(number: int, path: str) -> str:
    """A number and what can be kept of a file's name, without its ending."""
    stem = typeable(os.path.splitext(os.path.basename(path))[0])[:NAME]
    return f"{number:05d}_{stem}" if stem else f"{number:05d}"
