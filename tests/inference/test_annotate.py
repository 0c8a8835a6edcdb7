"""Annotated pictures show their boxes where the faces are, at a bounded size."""

import numpy as np
import pytest
from PIL import ImageColor

from fer.faces.box import FaceBox
from fer.inference.annotate import COLOURS, annotated, contact_sheet, ink
from fer.inference.predictor import Prediction
from fer.inference.stream import make_preview


def seen(emotion: str, box: FaceBox | None) -> Prediction:
    return Prediction(emotion, 0.9, {emotion: 0.9}, box)


@pytest.mark.parametrize(
    ("shape", "longer"),
    [((3000, 4000), 1600), ((900, 1000, 3), 1000), ((48, 48), 320), ((1, 5000), 1600)],
)
def test_copies_are_of_a_bounded_size(shape: tuple[int, ...], longer: int) -> None:
    shown = make_preview(np.zeros(shape, np.uint8))
    assert max(shown.pixels.shape[:2]) == longer
    assert shown.scale == pytest.approx(longer / max(shape[:2]))


def test_a_box_is_drawn_where_the_face_is() -> None:
    picture = annotated(make_preview(np.full((2000, 3200), 200, np.uint8)), [seen("sad", FaceBox(800, 600, 400))])
    assert picture.size == (1600, 1000)
    blue = ImageColor.getrgb(COLOURS["sad"])
    assert picture.getpixel((401, 400)) == picture.getpixel((599, 400)) == picture.getpixel((500, 499)) == blue
    assert picture.getpixel((500, 400)) == picture.getpixel((200, 200)) == (200, 200, 200)


def test_boxes_beyond_the_picture_are_drawn_within(tmp_path) -> None:
    for box in (FaceBox(-200, -200, 300), FaceBox(550, 300, 500), FaceBox(-50, -50, 5000)):
        assert annotated(make_preview(np.zeros((400, 600), np.uint8)), [seen("happy", box)]).size == (600, 400)


def test_what_concerns_the_whole_picture_stands_below() -> None:
    face = make_preview(np.full((48, 48), 99, np.uint8))
    picture = annotated(face, [seen("happy", None)])
    assert picture.width == 320
    assert picture.height > 320
    assert picture.getpixel((2, picture.height - 2)) == ImageColor.getrgb(COLOURS["happy"])
    assert annotated(make_preview(np.zeros((400, 20), np.uint8)), []).width > 20


def test_labels_can_be_read_on_every_colour() -> None:
    def luminance(colour: str) -> float:
        levels = (np.array(ImageColor.getrgb(colour)) / 255) ** 2.2
        return float(levels @ [0.2126, 0.7152, 0.0722])

    for colour in COLOURS.values():
        lighter, darker = sorted((luminance(colour), luminance(ink(colour))), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) > 4.2, colour


def test_a_sheet_holds_faces_of_any_kind_and_name() -> None:
    faces = [np.zeros((48, 48), np.uint8), np.zeros((48, 48, 3), np.uint8)]
    sheet = contact_sheet(faces, ["happy 93%", "odd 5%"], ["x" * 300 + ".png", "a\nb\u202e笑.png"])
    assert sheet.width < 300
    assert contact_sheet([faces[0]] * 100, ["sad 9%"] * 100, ["a"] * 100).height < 2000
