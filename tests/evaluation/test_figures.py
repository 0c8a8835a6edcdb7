"""Figures show the numbers they are given, render, and leave nothing behind."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from fer.emotions import EMOTIONS
from fer.evaluation.figures import BLUE, ORANGE, confusion_figure, predictions_figure, reliability_figure


def rendered(figure: Figure) -> np.ndarray:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return np.asarray(Image.open(content).convert("RGB"))


def faces(count: int, colour: bool = False) -> np.ndarray:
    shape = (count, 48, 48, 3) if colour else (count, 48, 48)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(autouse=True)
def nothing_stays():
    style = dict(matplotlib.rcParams)
    yield
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == style


@pytest.mark.parametrize("classes", range(2, 9))
def test_a_confusion_matrix_shows_each_count_and_its_share(classes):
    matrix = np.random.default_rng(classes).integers(1, 400, (classes, classes))
    figure = confusion_figure(matrix, EMOTIONS[:classes], title="test")
    axes = figure.axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert len(cells) == classes**2
    for (truth, predicted), count in np.ndenumerate(matrix):
        share, number = cells[predicted, truth].split("\n")
        assert int(number) == count
        assert int(share.rstrip("%")) == pytest.approx(100 * count / matrix[truth].sum(), abs=0.51)
    assert [label.get_text() for label in axes.get_xticklabels()] == list(EMOTIONS[:classes])
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"{name} ({row.sum()})" for name, row in zip(EMOTIONS, matrix, strict=False)
    ]
    assert f"{matrix.sum()} images, accuracy {np.trace(matrix) / matrix.sum():.1%}" in axes.get_title()
    assert rendered(figure).std() > 0


def test_a_class_without_images_leaves_an_empty_row():
    axes = confusion_figure(np.array([[0, 0], [3, 5]]), ["angry", "happy"]).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells[0, 0] == cells[1, 0] == "·"
    assert cells[1, 1] == "62%\n5"


def test_an_empty_confusion_matrix_is_drawn_too():
    assert "0 images" in confusion_figure(np.zeros((3, 3), dtype=int), EMOTIONS[:3]).axes[0].get_title()


@pytest.mark.parametrize(("count", "colour"), [(1, True), (2, False), (9, False)])
def test_a_sheet_has_a_captioned_face_for_each_image(count, colour):
    truths = ["happy"] * count
    predictions = ["happy" if n % 2 else "sad" for n in range(count)]
    losses = [n / 10 for n in range(count)]
    figure = predictions_figure(faces(count, colour), truths, predictions, [0.75] * count, losses, columns=6, title="x")
    assert len(figure.axes) == count
    for index, axes in enumerate(figure.axes):
        right = index % 2
        caption = axes.get_xlabel()
        assert caption.startswith("happy 75%\ncorrect" if right else "sad 75%\nis happy")
        assert f"loss {losses[index]:.2f}" in caption
        assert to_hex(axes.spines["left"].get_edgecolor()) == (BLUE if right else ORANGE)
        assert np.array_equal(axes.images[0].get_array(), faces(count, colour)[index])
    assert rendered(figure).std() > 0


def test_a_sheet_without_losses_says_none():
    figure = predictions_figure(faces(1), ["sad"], ["sad"], [1.0])
    assert figure.axes[0].get_xlabel() == "sad 100%\ncorrect"


def test_faces_are_shown_at_their_own_brightness():
    """A dark face must not be stretched to full contrast."""
    image = predictions_figure(faces(1) // 4, ["sad"], ["sad"], [1.0]).axes[0].images[0]
    assert image.get_clim() == (0, 255)


@pytest.mark.parametrize("count", [1, 500])
def test_reliability_has_a_point_for_each_bin_with_images(count):
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.2, 1.0, count)
    right = generator.random(count) < confidence
    figure = reliability_figure(
        {"as trained": (confidence, right), "calibrated": (confidence**0.5, right)},
        {"as trained": 0.0123, "calibrated": 0.2},
        bins=10,
    )
    upper, lower = figure.axes
    _diagonal, curve, _other = upper.lines
    bins = np.minimum((confidence * 10).astype(int), 9)
    filled = np.unique(bins)
    assert curve.get_xdata() == pytest.approx([confidence[bins == b].mean() for b in filled])
    assert curve.get_ydata() == pytest.approx([right[bins == b].mean() for b in filled])
    labels = [text.get_text() for text in upper.get_legend().get_texts()]
    assert labels == ["perfect", "as trained: ECE 0.012", "calibrated: ECE 0.200"]
    assert len(lower.patches) == 2
    assert rendered(figure).std() > 0


def test_a_confidence_of_one_is_in_the_last_bin():
    figure = reliability_figure({"as trained": (np.ones(3), np.array([True, True, False]))}, {"as trained": 1 / 3})
    assert figure.axes[0].lines[1].get_xdata() == pytest.approx([1.0])
    assert figure.axes[0].lines[1].get_ydata() == pytest.approx([2 / 3])
