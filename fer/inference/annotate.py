"""The pictures that a prediction writes: annotated copies and contact sheets."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer.faces.box import FaceBox
from fer.files import replacing, typeable
from fer.inference.predictor import Prediction
from fer.inference.results import ANNOTATED_FOLDER, NO_FACE, SHEET_FILES
from fer.inference.stream import PictureResult, Preview

# Okabe & Ito's colours, which the colour-blind can distinguish.
COLOURS = {
    "angry": "#d55e00",
    "disgust": "#009e73",
    "fear": "#cc79a7",
    "happy": "#e69f00",
    "sad": "#0072b2",
    "surprise": "#56b4e9",
    "neutral": "#767676",
    "contempt": "#222222",
}
GREY = "#767676"
TILE, COLUMNS, ROWS, GAP = 112, 10, 10, 12  # of a contact sheet, pixels and faces
WRITER_THREADS, MAX_PENDING = 2, 16  # pictures that may wait for the threads
SAVE_OPTIONS: dict[str, dict[str, int]] = {"JPEG": {"quality": 88}, "PNG": {"compress_level": 3}}
MAX_NAME_LENGTH = 60  # letters of a picture's own name that its copy keeps


class Gallery:
    """Takes results picture by picture and writes them in threads; all is written when it closes.

    Args:
        folder: of `annotated/` and the sheets.
        copies: whether to write annotated copies.
        sheets: whether to write contact sheets of COLUMNS * ROWS faces.
    """

    def __init__(self, folder: Path, copies: bool, sheets: bool) -> None:
        self.folder, self.copies, self.sheets = folder, copies, sheets
        self._pool = ThreadPoolExecutor(WRITER_THREADS, thread_name_prefix="gallery")
        self._writing: deque[Future[None]] = deque()
        self._page: list[tuple[np.ndarray, str, str]] = []  # faces, captions, notes
        self._pages = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                if self._page:
                    self._write_sheet()
                self._finish(0)
        finally:
            self._pool.shutdown(cancel_futures=True)

    def add(self, number: int, result: PictureResult) -> None:
        """Take a picture; the name of its copy starts with `number`."""
        if self.copies and result.preview is not None:
            preview, predictions = result.preview, result.predictions
            path = self.folder / ANNOTATED_FOLDER / copy_name(number, result.path)
            self._write(path, "JPEG", lambda: annotated(preview, predictions))
        if self.sheets and result.framed is not None:
            note = os.path.basename(result.path)
            for face, prediction in zip(result.framed.faces, result.predictions, strict=True):
                self._page.append((face, label(prediction), note))
                if len(self._page) == COLUMNS * ROWS:
                    self._write_sheet()

    def _write_sheet(self) -> None:
        self._pages += 1
        name = SHEET_FILES[self._pages > 1].format(self._pages)
        faces, captions, notes = zip(*self._page, strict=True)
        self._page = []
        self._write(self.folder / name, "PNG", lambda: contact_sheet(faces, captions, notes))

    def _write(self, path: Path, form: str, draw: Callable[[], Image.Image]) -> None:
        def work() -> None:
            with replacing(path, "wb") as file:
                draw().save(file, form, **SAVE_OPTIONS[form])

        self._writing.append(self._pool.submit(work))
        self._finish(MAX_PENDING)

    def _finish(self, waiting: int) -> None:
        """Wait until at most `waiting` pictures are left to write; raises what a thread raised."""
        while len(self._writing) > waiting:
            self._writing.popleft().result()


def copy_name(number: int, path: str) -> str:
    """The name of an annotated copy; numbered, so that no copy leaves the folder or has the name of another."""
    return f"{numbered(number, path)}.jpg"


def numbered(number: int, path: str) -> str:
    """A number and the letters of a file's name that can be typed, without its suffix."""
    stem = typeable(os.path.splitext(os.path.basename(path))[0])[:MAX_NAME_LENGTH]
    return f"{number:05d}_{stem}" if stem else f"{number:05d}"


def annotated(preview: Preview, predictions: Sequence[Prediction]) -> Image.Image:
    """The picture in colour with a box and a label for each face; a label of the whole picture is in a strip below."""
    picture = Image.fromarray(preview.pixels).convert("RGB")
    size = max(14, round(max(picture.size) / 45))
    if not predictions:
        return _with_strip(picture, f"{NO_FACE} found", GREY, size)
    draw = ImageDraw.Draw(picture)
    for prediction in reversed(predictions):  # the largest face last, over the others
        if prediction.box is not None:
            draw_face(draw, prediction.box, preview.scale, label(prediction), colour(prediction.emotion), size)
    whole = [prediction for prediction in predictions if prediction.box is None]
    return _with_strip(picture, label(whole[0]), colour(whole[0].emotion), size) if whole else picture


def label(prediction: Prediction) -> str:
    unlike = ", unlike training" if prediction.is_unlike_training else ""
    return f"{prediction.emotion} {prediction.probability:.0%}{unlike}"


def colour(emotion: str) -> str:
    return COLOURS.get(emotion, GREY)


def draw_face(draw: ImageDraw.ImageDraw, box: FaceBox, scale: float, text: str, fill: str, size: int) -> None:
    """A box and its label, above it where there is room.

    Args:
        draw: on the shown picture.
        box: in pixels of the original picture.
        scale: of the shown picture to the original.
        text: of the label.
        fill: colour of both.
        size: of the letters, pixels.
    """
    width, height = draw.im.size
    left, top = max(0.0, box.left * scale), max(0.0, box.top * scale)
    right, bottom = min(width - 1.0, (box.left + box.side) * scale), min(height - 1.0, (box.top + box.side) * scale)
    draw.rectangle((left, top, right, bottom), outline=fill, width=max(2, size // 6))
    pad = size // 4
    wide, high = draw.textlength(text, font(size)) + 2 * pad, size + 2 * pad
    x = max(0.0, min(left, width - wide))
    y = top - high if top >= high else min(bottom, height - high)
    draw.rectangle((x, y, x + wide, y + high), fill=fill)
    draw.text((x + pad, y + high / 2), text, fill=ink(fill), font=font(size), anchor="lm")


def contact_sheet(faces: Sequence[np.ndarray], captions: Sequence[str], notes: Sequence[str]) -> Image.Image:
    """Faces in rows, each over its caption in bold colour and a note.

    Args:
        faces: uint8 [S, S] or [S, S, 3] each, at most COLUMNS * ROWS of them.
        captions: such as `happy 93%`; its first word gives the colour.
        notes: such as the file's name; shortened to the width.
    """
    columns = min(COLUMNS, max(len(faces), 1))
    step, height = TILE + GAP, TILE + 34 + GAP
    sheet = Image.new("RGB", (columns * step + GAP, -(-len(faces) // columns) * height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (face, caption, note) in enumerate(zip(faces, captions, notes, strict=True)):
        x, y = GAP + index % columns * step, GAP + index // columns * height
        sheet.paste(Image.fromarray(face).convert("RGB").resize((TILE, TILE), Image.Resampling.BICUBIC), (x, y))
        draw.rectangle((x, y + TILE, x + TILE - 1, y + TILE + 3), fill=colour(caption.split()[0]))
        draw.text((x, y + TILE + 6), caption, fill="#111111", font=font(13))
        draw.text((x, y + TILE + 21), _shortened(note, draw, TILE, 10), fill="#555555", font=font(10))
    return sheet


def ink(fill: str) -> str:
    """Black or white, whichever has more contrast (WCAG 2) to a colour."""
    linear = [(int(fill[at : at + 2], 16) / 255) ** 2.2 for at in (1, 3, 5)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.18 else "#ffffff"


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib (whose import would take longer than a picture) and has most letters."""
    matplotlib = find_spec("matplotlib")
    assert matplotlib is not None
    assert matplotlib.origin is not None
    fonts = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), size)


def _with_strip(picture: Image.Image, text: str, fill: str, size: int) -> Image.Image:
    high = round(1.8 * size)
    wide = max(picture.width, round(font(size).getlength(text)) + size)
    whole = Image.new("RGB", (wide, picture.height + high), fill)
    whole.paste(picture, ((wide - picture.width) // 2, 0))
    draw = ImageDraw.Draw(whole)
    draw.text((wide / 2, picture.height + high / 2), text, fill=ink(fill), font=font(size), anchor="mm")
    return whole


def _shortened(text: str, draw: ImageDraw.ImageDraw, width: int, size: int) -> str:
    """As much of the end of a text as fits; letters that cannot be shown are question marks."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if draw.textlength(text, font(size)) <= width:
        return text
    text = text[-64:]
    while text and draw.textlength("…" + text, font(size)) > width:
        text = text[1:]
    return "…" + text
