"""Pictures with boxes and labels, and sheets of faces."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer.faces.detector import FaceBox
from fer.inference.predictor import Prediction

LARGEST, SMALLEST = 1600, 320  # longer side of annotated pictures, pixels
# Okabe & Ito's colours, told apart by the colour-blind.
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


@dataclass(frozen=True)
class Preview:
    """A picture at the size in which it is annotated."""

    pixels: np.ndarray  # uint8 [h, w] or [h, w, 3]
    scale: float  # of the preview to the picture


def preview(picture: np.ndarray) -> Preview:
    """A picture, uint8 [H, W] or [H, W, 3], brought to between 320 and 1600 pixels of its longer side."""
    longer = max(picture.shape[:2])
    scale = min(max(longer, SMALLEST), LARGEST) / longer
    if scale == 1:
        return Preview(picture, 1.0)
    size = tuple(max(1, round(side * scale)) for side in picture.shape[1::-1])
    how = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    return Preview(np.asarray(Image.fromarray(picture).resize(size, how, reducing_gap=2.0)), scale)


def annotated(shown: Preview, predictions: Sequence[Prediction]) -> Image.Image:
    """The picture in colour with a box and a label for each face; what concerns all of it stands in a strip below."""
    picture = Image.fromarray(shown.pixels).convert("RGB")
    size = max(14, round(max(picture.size) / 45))
    if not predictions:
        return _with_strip(picture, "no face found", GREY, size)
    draw = ImageDraw.Draw(picture)
    for prediction in reversed(predictions):  # the largest face last, over the others
        if prediction.box is not None:
            draw_face(draw, prediction.box, shown.scale, label(prediction), colour(prediction.emotion), size)
    whole = [prediction for prediction in predictions if prediction.box is None]
    return _with_strip(picture, label(whole[0]), colour(whole[0].emotion), size) if whole else picture


def label(prediction: Prediction) -> str:
    return f"{prediction.emotion} {prediction.probability:.0%}"


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
    """DejaVu Sans, which comes with matplotlib and has most scripts' letters."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


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
