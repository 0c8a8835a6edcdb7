"""The figures of a split exist for whatever was evaluated."""

import io
import logging

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fer.emotions import EMOTIONS
from fer.evaluation.split_predictions import SplitPredictions
from fer.models.classifier import ExpressionClassifier
from fer.models.network import timm_network
from fer.reporting import figure_table
from fer.reporting.figure_table import FIGURES, FigureRow, draw_figures, figures_in, images_to_explain, save_figures
from fer.reporting.report import write_report
from fer.reporting.tensorboard import RunLogger, log_results

NUMBERS = {"confusion_matrix", "confused_pairs", "classes", "reliability", "precision_recall"}
FACES = {"predictions", "top_losses"}


def outcome_of(
    count: int, classes: int, absent: int | None = None, colour: bool = False, images: bool = True
) -> SplitPredictions:
    generator = np.random.default_rng(count)
    labels = generator.integers(0, classes, count)
    labels[labels == absent] = 0
    logits = generator.normal(size=(count, classes)).astype(np.float32)
    logits[np.arange(count), labels] += 1
    pixels = generator.integers(0, 256, (count, 32, 32, 3) if colour else (count, 32, 32), dtype=np.uint8)
    return SplitPredictions(
        classes=list(EMOTIONS[:classes]),
        logits=logits,
        labels=labels,
        names=np.array([f"{number}.png" for number in range(count)]),
        subjects=None,
        images=(lambda positions: pixels[positions]) if images else None,
        temperature=1.5,
        data="made up",
    )


def classifier_of(classes: int, channels: int = 1) -> ExpressionClassifier:
    torch.manual_seed(0)
    return ExpressionClassifier(
        timm_network("test_resnet", num_classes=classes, in_chans=channels, weights="none"),
        network_spec={},
        classes=list(EMOTIONS[:classes]),
        image_size=32,
        mean=[0.5] * channels,
        std=[0.25] * channels,
    )


@pytest.mark.parametrize(
    "outcome",
    [outcome_of(1, 7), outcome_of(20, 2, colour=True), outcome_of(80, 8, absent=2)],
    ids=["one image", "two classes in colour", "eight classes, one without images"],
)
def test_any_split_has_all_its_figures(outcome):
    figures = draw_figures(outcome)
    assert set(figures) == NUMBERS | FACES
    for figure in figures.values():
        figure.savefig(io.BytesIO(), dpi=30)


def test_figures_are_saved_as_picture_and_drawing(tmp_path):
    figures = draw_figures(outcome_of(1, 2))
    save_figures(figures, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{kind}" for name in figures for kind in ("png", "svg")
    }


def test_figures_tell_what_was_evaluated():
    figures = draw_figures(outcome_of(40, 3))
    assert "made up, test" in figures["confusion_matrix"].get_suptitle()
    assert "made up, test" in figures["top_losses"].get_suptitle()


def test_the_largest_losses_come_first():
    outcome = outcome_of(40, 3)
    shown = [float(axes.get_xlabel().split("loss ")[1]) for axes in draw_figures(outcome)["top_losses"].axes]
    assert shown == pytest.approx(sorted(outcome.losses, reverse=True)[:18], abs=0.006)


def test_pooled_predictions_without_images_have_the_figures_of_numbers():
    outcome = outcome_of(40, 3, images=False)
    pooled = SplitPredictions(**{**vars(outcome), "temperature": np.linspace(1, 2, 40)})
    assert set(draw_figures(pooled)) == NUMBERS


@pytest.mark.parametrize("channels", [1, 3])
def test_grad_cam_is_among_them_where_one_model_judged(channels):
    pytest.importorskip("pytorch_grad_cam")
    figures = draw_figures(outcome_of(40, 3), classifier_of(3, channels))
    captions = [axes.get_xlabel() for axes in figures["gradcam"].axes]
    assert sum("correct" in caption for caption in captions) == 6
    assert sum("is " in caption for caption in captions) == 6


def test_without_grad_cam_the_figure_is_left_out_with_a_line(monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "pytorch_grad_cam", None)
    with caplog.at_level(logging.WARNING):
        figures = draw_figures(outcome_of(20, 3), classifier_of(3))
    assert "gradcam" not in figures
    assert [record.message for record in caplog.records if "pip install grad-cam" in record.message]


def test_right_images_of_as_many_classes_as_there_are_and_wrong_ones_are_explained():
    outcome = outcome_of(200, 5)
    chosen = images_to_explain(outcome, count=6)
    assert len(chosen) == 12
    assert outcome.correct[chosen[:6]].all()
    assert not outcome.correct[chosen[6:]].any()
    assert set(outcome.labels[chosen[:6]]) == set(range(5))
    assert len(set(chosen.tolist())) == 12


def test_a_new_figure_is_its_function_and_one_row(tmp_path, monkeypatch):
    def draw_confidence(predictions, _classifier):
        figure = Figure((2, 2))
        figure.add_subplot().hist(predictions.probabilities.max(axis=1))
        return figure

    row = FigureRow("confidence", "Confidence", "How sure the model is.", draw_confidence)
    monkeypatch.setattr(figure_table, "FIGURES", (FIGURES[0], row))
    predictions, classifier = outcome_of(40, 3), classifier_of(3)
    save_figures(draw_figures(predictions), tmp_path / "figures")
    page = write_report(tmp_path, {"test/accuracy": 0.5}).read_text(encoding="utf-8")
    logger = RunLogger(tmp_path)
    metrics = {"test/accuracy": 0.5, "test/macro_f1": 0.5, "test/ece": 0.1, "val/accuracy": 0.5, "best_epoch": 0}
    log_results(logger.experiment, tmp_path, metrics, predictions, classifier, 1)
    events = EventAccumulator(str(tmp_path / "tensorboard"), {"images": 0}).Reload()
    assert (tmp_path / "figures" / "confidence.svg").exists()
    assert 'alt="Confidence"' in page
    assert "How sure the model is." in page
    assert [tag for tag in events.Tags()["images"] if tag.endswith("_confidence")]


def test_a_place_shows_the_figures_that_its_rows_say_in_their_order_and_unknown_ones_last(tmp_path, monkeypatch):
    rows = (FigureRow("second", "2"), FigureRow("first", "1", shown=("report",)), FigureRow("absent", "3"))
    monkeypatch.setattr(figure_table, "FIGURES", rows)
    for name in ("own_figure", "first", "second"):
        (tmp_path / f"{name}.png").touch()
    (tmp_path / "first.svg").touch()
    shown = figures_in(tmp_path, "report", (".png", ".svg"))
    assert [(row.title, path.name) for row, path in shown] == [
        ("2", "second.png"), ("1", "first.svg"), ("Own figure", "own_figure.png"),
    ]  # fmt: skip
    assert [row.name for row, _ in figures_in(tmp_path, "tensorboard")] == ["second", "own_figure"]


def test_every_row_has_a_name_of_its_own_a_title_and_a_caption():
    assert len({row.name for row in FIGURES}) == len(FIGURES)
    assert all(row.title and row.caption.endswith(".") for row in FIGURES)
