"""Figures show the numbers they are given, render, and leave nothing behind."""

import base64
import io

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from fer.emotions import EMOTIONS
from fer.reporting.face_grids import attention_figure, predictions_figure
from fer.reporting.figures import (
    BLUE,
    ORANGE,
    class_figure,
    confused_pairs,
    confused_pairs_figure,
    confusion_figure,
    precision_recall_figure,
    reliability_figure,
    save_figure,
)


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
    assert f"{matrix.sum():,} images, accuracy {np.trace(matrix) / matrix.sum():.1%}" in figure.get_suptitle()
    assert rendered(figure).std() > 0


def test_a_class_without_images_leaves_an_empty_row():
    axes = confusion_figure(np.array([[0, 0], [3, 5]]), ["angry", "happy"]).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells[0, 0] == cells[1, 0] == "·"
    assert cells[1, 1] == "62%\n5"


def test_an_empty_confusion_matrix_is_drawn_too():
    assert "0 images" in confusion_figure(np.zeros((3, 3), dtype=int), EMOTIONS[:3]).get_suptitle()


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


MATRIX = np.array([[5, 0, 3], [2, 8, 0], [0, 0, 0]])  # nothing shows the last class, nothing is called it


def test_mistakes_are_told_with_the_most_frequent_first():
    assert confused_pairs(MATRIX) == [(0, 2, 3), (1, 0, 2)]
    assert confused_pairs(MATRIX, most=1) == [(0, 2, 3)]
    assert confused_pairs(np.diag([3, 4])) == []
    axes = confused_pairs_figure(MATRIX, EMOTIONS[:3]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["angry, called fear", "disgust, called angry"]
    assert [text.get_text() for text in axes.texts] == ["3 (38% of angry)", "2 (20% of disgust)"]
    assert [bar.get_width() for bar in axes.patches] == [3, 2]


def test_a_model_without_mistakes_has_none_to_show():
    figure = confused_pairs_figure(np.diag([3, 4]), EMOTIONS[:2])
    assert "every prediction is right" in figure.axes[0].texts[0].get_text()
    assert rendered(figure).std() > 0


def test_bars_of_a_class_are_its_precision_recall_and_f1():
    axes = class_figure(MATRIX, EMOTIONS[:3]).axes[0]
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in axes.containers}
    assert heights["precision"] == pytest.approx([5 / 7, 1.0, 0.0])
    assert heights["recall"] == pytest.approx([5 / 8, 8 / 10])  # the last has no image: no bar
    assert heights["F1"] == pytest.approx([10 / 15, 16 / 18, 0.0])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["angry\n8", "disgust\n10", "fear\n0"]
    assert "no such number" in axes.get_title(loc="left")


def test_a_perfect_ranking_has_average_precision_one_and_a_class_without_images_no_curve():
    labels = np.array([0, 0, 1, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.1, 0.75, 0.15]])
    figure = precision_recall_figure(probabilities, labels, EMOTIONS[:3])
    assert [axes.get_title() for axes in figure.axes] == ["angry, AP 1.00", "disgust, AP 1.00", "fear, no image"]
    assert len(figure.axes[0].lines) == 3  # its own, the other's, chance
    assert len(figure.axes[2].lines) == 3


def test_curves_of_many_images_stay_light(tmp_path):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 8, 4000)
    probabilities = generator.dirichlet(np.ones(8), 4000)
    figure = precision_recall_figure(probabilities, labels, EMOTIONS)
    assert len(figure.axes) == 8
    save_figure(figure, tmp_path, "curves")
    assert (tmp_path / "curves.svg").stat().st_size < 400_000


def test_a_saved_figure_is_a_picture_and_a_drawing_with_text_and_the_faces_own_pixels(tmp_path):
    figure = predictions_figure(faces(2), ["sad", "a<b"], ["sad", "sad"], [1.0, 0.5])
    save_figure(figure, tmp_path / "figures", "sheet")
    with Image.open(tmp_path / "figures" / "sheet.png") as picture:
        assert min(picture.size) > 300
    drawn = (tmp_path / "figures" / "sheet.svg").read_text()
    assert ">correct<" in drawn
    assert "a&lt;b" in drawn
    embedded = [base64.b64decode(part.split('"')[0]) for part in drawn.split("data:image/png;base64,")[1:]]
    assert [Image.open(io.BytesIO(content)).size for content in embedded] == [(48, 48), (48, 48)]
    assert "pixelated" not in drawn
    first = (tmp_path / "figures" / "sheet.svg").read_bytes()
    save_figure(figure, tmp_path / "figures", "sheet")
    assert (tmp_path / "figures" / "sheet.svg").read_bytes() == first


def test_cells_of_a_confusion_matrix_keep_their_edges(tmp_path):
    save_figure(confusion_figure(np.array([[5, 5], [0, 10]]), EMOTIONS[:2]), tmp_path, "matrix")
    drawn = (tmp_path / "matrix.svg").read_text()
    with Image.open(io.BytesIO(base64.b64decode(drawn.split("data:image/png;base64,")[1].split('"')[0]))) as cells:
        assert len(np.unique(np.asarray(cells.convert("L")))) == 3  # not smoothed into each other


@pytest.mark.parametrize(("right", "wrong"), [(2, 1), (0, 2), (1, 0)])
def test_an_attention_sheet_shows_a_map_for_the_prediction_and_one_for_the_truth_where_they_differ(right, wrong):
    count = right + wrong
    truths, predictions = ["sad"] * count, ["sad"] * right + ["fear"] * wrong
    maps = np.random.default_rng(0).random((count, 32, 32))
    figure = attention_figure(faces(count), truths, predictions, maps, np.zeros_like(maps))
    captions = [axes.get_xlabel() for axes in figure.axes]
    assert len(captions) == 2 * right + 3 * wrong
    assert captions.count("for sad") == right
    assert captions.count("for fear") == captions.count("nothing for sad") == wrong
    assert rendered(figure).std() > 0
