"""A report is one page that holds all of a run and nothing from elsewhere."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from fer.evaluation.metric_table import compute_metrics
from fer.evaluation.split_predictions import SplitPredictions
from fer.reporting.cells import write_cells
from fer.reporting.facts import facts
from fer.reporting.figures import confusion_figure, save_figure
from fer.reporting.report import write_report
from fer.runs.choices import Choices
from fer.runs.folder import RunFolder
from fer.runs.tables import History

NASTY = '<img src=x onerror="alert(1)">&co'
VOID = {"meta", "img", "br", "hr", "link"}


class Page(HTMLParser):
    """Text, pictures and headings of a page; refuses one whose tags do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def metrics() -> dict:
    """Of 60 images of 12 people, none of which shows the third class."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    logits = generator.normal(size=(60, 3)).astype(np.float32)
    logits[np.arange(60), labels] += 1
    people = np.array([f"S{number % 12}" for number in range(60)])
    classes, names = ["angry", "happy", "fear"], np.arange(60).astype(str)
    predictions = SplitPredictions(
        classes, logits, labels, names, people, None, temperature=1.4, near_duplicates=labels < 0
    )
    numbers = compute_metrics(predictions)
    return {
        **{f"{split}/{name}": value for split in ("val", "test") for name, value in numbers.items()},
        "train/images": 4321,
        "best_epoch": 7,
        "parameters": 11_200_000,
        "macs": 1_800_000_000,
        "train_images_per_second": 170.4,
        "train_seconds": 3723.4,
        "peak_memory_bytes": 2**31,
        "device": "cpu, 2 threads",
        "precision": "bf16-mixed",
    }


@pytest.fixture
def config(tiny_config) -> DictConfig:
    return OmegaConf.create(OmegaConf.to_container(tiny_config("data=ckplus", "data.fold=3"), resolve=True))


@pytest.fixture
def report(tmp_path, metrics, config) -> Page:
    OmegaConf.save(config, tmp_path / "config.yaml")
    save_figure(confusion_figure(np.eye(2, dtype=int), ["angry", "happy"]), tmp_path / "figures", "confusion_matrix")
    save_figure(confusion_figure(np.eye(2, dtype=int), ["angry", "happy"]), tmp_path / "figures", "top_losses")
    return Page(write_report(tmp_path, metrics))


def test_the_page_needs_nothing_else(report):
    assert report.of("script") == [{}]  # its own, which its policy allows by the hash and no other
    assert report.of("link") == report.of("iframe") == []
    assert all(picture["src"].startswith("data:image/") for picture in report.of("img"))
    assert "default-src 'none'" in report.of("meta")[2]["content"]
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", report.source)
    assert len(report.source) < 3_000_000


def test_it_says_what_was_trained_on_what_and_how(report):
    said = ("test_resnet on ckplus", "fold 3 of 10, by people", "AdamW, lr 0.003", "OneCycle", "4,321 training")
    said += ("11.2 million parameters", "1:02:03 of training", "7 (the first is 0)", "cpu, 2 threads", "2.0 GiB")
    assert [text for text in said if text not in report.text] == []


def test_numbers_have_their_intervals(report, metrics):
    low, high = metrics["test/accuracy_ci95"]
    accuracy = metrics["test/accuracy"]
    assert f"{accuracy:.1%} of 60 test images of 12 people are classified correctly" in report.text
    assert f"(95 % interval {low:.1%} to {high:.1%}, over 12 people)" in report.text
    assert f"{metrics['test/macro_f1']:.4f}" in report.text
    assert f"{metrics['test/recall_happy']:.3f}" in report.text


@pytest.mark.parametrize(
    ("accuracy", "interval", "words"),
    [
        (0.2, [0.1, 0.3], "is not better than always answering the most frequent class (25.0%)"),
        (0.3, [0.2, 0.4], "is not shown to be better than always answering the most frequent class (25.0%)"),
        (0.6, [0.5, 0.7], ""),
    ],
)
def test_a_model_below_the_baseline_is_remarked_on(tmp_path, metrics, config, accuracy, interval, words):
    numbers = {"test/accuracy": accuracy, "test/accuracy_ci95": interval, "test/accuracy_majority": 0.25}
    page = Page(write_report(tmp_path, {**metrics, **numbers, "test/accuracy_chance": 0.1}, config))
    assert words in page.text
    assert ("guessing gives 10.0%" in page.text) == bool(words)
    assert "accuracy if always the most frequent class" in page.text


def test_a_number_that_does_not_exist_is_a_dash(report):
    row = next(row for row in report.source.split("<tr>") if row.startswith("<td>fear"))
    assert row.count("–") == 2  # recall and area; it was named, in vain
    assert "nan" not in report.text.lower().split()
    assert "None" not in report.text


def test_every_picture_says_what_it_shows_and_drawings_are_preferred(report):
    pictures = report.of("img")
    assert [picture["alt"].partition(":")[0] for picture in pictures] == ["Confusion matrix", "Largest losses"]
    assert all(picture["src"].startswith("data:image/svg+xml;base64,") for picture in pictures)


def test_headings_go_down_one_level_at_a_time(report):
    levels = [int(tag[1]) for tag, _ in report.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_it_is_for_phones_paper_and_the_dark(report):
    assert "width=device-width" in report.source
    for condition in ("prefers-color-scheme: dark", "@media print", "max-width: 34rem"):
        assert condition in report.source


def test_it_says_how_to_repeat_the_run_and_what_the_numbers_do_not_say(report, tmp_path):
    assert f"python scripts/train.py --config-path={tmp_path} --config-name=config" in report.text
    for words in ("Expressions are not feelings", "posed in a laboratory", "fold 3 of 10 alone", "No image shows fear"):
        assert words in report.text


def test_one_person_has_no_interval_and_the_page_says_why(tmp_path, metrics, config):
    page = Page(write_report(tmp_path, {**metrics, "test/subjects": 1, "test/accuracy_ci95": None}, config))
    assert "of 1 person are classified correctly (95 % interval not estimable" in page.text
    assert "cannot be estimated, so it has no interval" in page.text
    assert "not estimable" in page.text.split("95 % interval", 2)[2]


def test_what_folds_share_is_a_limit(tmp_path, metrics):
    pooled = {**metrics, "folds": [{"fold": number, "images": 30} for number in range(2)]}
    assert "trained on mostly the same images" in Page(write_report(tmp_path, pooled)).text
    assert "trained on mostly the same images" not in Page(write_report(tmp_path, metrics)).text


def test_pooled_folds_are_repeated_from_what_the_command_line_said(tmp_path, metrics, config):
    OmegaConf.save(config, tmp_path / "config.yaml")
    (tmp_path / "overrides.json").write_text('["data=ckplus", "model.backbone=a b"]')
    page = Page(write_report(tmp_path, {**metrics, "folds": []}))
    assert "python scripts/train.py data=ckplus 'model.backbone=a b' folds=all" in page.text
    assert "all 10 folds, by people" in page.text
    assert "--config-path" not in page.text


def test_names_are_never_markup(tmp_path, metrics, config):
    config.data.name = config.model.backbone = NASTY
    OmegaConf.save(config, tmp_path / "config.yaml")
    named = {f"test/support_{NASTY}": 3, f"test/recall_{NASTY}": 0.5}
    page = Page(write_report(tmp_path, {**metrics, **named, "device": NASTY, "folds": [{"fold": 0, "who": NASTY}]}))
    assert page.of("img") == []
    assert page.text.count(NASTY) >= 5
    assert page.source.count("<script") == 1


def test_folds_and_other_evaluations_have_reports_too(tmp_path, metrics):
    numbers = {name: value for name, value in metrics.items() if name.startswith("test/")}
    votes = {"checkpoint": ["runs/a", "runs/b"], "trained_on": ["fer2013", "fer2013"], "data": "ckplus"}
    chosen = {"split": "test", "tta": "flip", "classes": ["angry", "happy", "fear"], "fold": 2}
    chosen["overrides"] = ["data=ckplus", "data.fold=2", "tta=flip", "data.source='a b'"]
    chosen["folds"] = [{"fold": number, "images": 30, "accuracy": 1 / (number + 1.2)} for number in range(2)]
    page = Page(write_report(tmp_path, {**numbers, **votes, **chosen}))
    assert "runs/a + runs/b on ckplus" in page.text
    assert "83.33%" in page.text
    assert "scripts/evaluate.py 'checkpoint=[runs/a,runs/b]' data=ckplus data.fold=2 tta=flip" in page.text
    assert "validation" not in page.text.split("Results")[1].split("Each class")[0].replace("validation images", "")


def test_a_failure_leaves_no_half_page(tmp_path, metrics):
    with pytest.raises(TypeError):
        write_report(tmp_path, {**metrics, "train_seconds": "long"})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def predicted(tmp_path: Path) -> SplitPredictions:
    """Written to the folder of the report: 12 angry and 12 happy images, of which 3 and 0 are wrong."""
    labels = np.arange(24) % 2
    logits = np.zeros((24, 2), dtype=np.float32)
    logits[np.arange(24), labels] = 1
    logits[[0, 2, 4]] = [[0, 3], [0, 2], [0, 1]]
    names = np.array([f"{number}.png" for number in range(24)])
    pixels = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)
    predictions = SplitPredictions(["angry", "happy"], logits, labels, names, None, lambda rows: pixels[rows])
    RunFolder(tmp_path).write_predictions(predictions.table())
    write_cells(predictions, tmp_path / "figures")
    return predictions


def test_a_cell_opens_its_images(tmp_path, metrics, config, predicted):
    page = Page(write_report(tmp_path, metrics, config))
    links = [link["href"] for link in page.of("a") if not link["href"].startswith("#")]
    cells = ["angry-as-angry", "angry-as-happy", "happy-as-happy"]
    assert links == [f"figures/cells/{cell}.png" for cell in cells]
    assert all((tmp_path / link).exists() for link in links)
    with Image.open(tmp_path / links[1]) as sheet:
        assert sheet.size == (3 * 116, 116)
    write_cells(replace(predicted, images=None), tmp_path / "figures")  # the images are not at hand any more
    assert [link for link in Page(write_report(tmp_path, metrics, config)).of("a") if "cells" in link["href"]] == []


def test_errors_are_listed_by_loss_and_contents_lead_to_all(tmp_path, metrics, config, predicted):
    page = Page(write_report(tmp_path, metrics, config))
    assert "3 images that the model got wrong" in page.text
    assert [page.source.index(f"<td>{name}.png") for name in (0, 2, 4)] == sorted(
        page.source.index(f"<td>{name}.png") for name in (0, 2, 4)
    )
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    contents = {link["href"].removeprefix("#") for link in page.of("a") if link["href"].startswith("#")}
    assert contents == targets >= {"results", "confusion", "errors", "figures", "limits"}


def test_alternative_texts_carry_the_numbers(tmp_path, metrics, config, predicted):
    for name in ("confusion_matrix", "confused_pairs", "top_losses", "classes", "training_curves", "reliability"):
        save_figure(confusion_figure(np.eye(2, dtype=int), ["angry", "happy"]), tmp_path / "figures", name)
    History(tmp_path / "history.csv").add(0, {"val/accuracy": 0.25, "train/accuracy": 0.5})
    History(tmp_path / "history.csv").add(7, {"val/accuracy": 0.75})
    texts = [picture["alt"] for picture in Page(write_report(tmp_path, metrics, config)).of("img")]
    said = {text.partition(":")[0]: text for text in texts}
    assert said["Confusion matrix"] == "Confusion matrix: right are angry 9 of 12; happy 12 of 12."
    assert said["Most frequent mistakes"] == "Most frequent mistakes: angry taken for happy 3 times."
    assert "angry taken for happy, loss 3.05; angry taken for happy, loss 2.13" in said["Largest losses"]
    assert f"happy precision {metrics['test/precision_happy']:.2f}" in said["Precision, recall and F1 of each class"]
    assert "validation accuracy 25.0% after epoch 0, 75.0% after epoch 7" in said["Training"]
    assert f"calibration error {metrics['test/ece']:.3f} as trained" in said["Reliability"]


def test_pooled_folds_have_no_epoch_of_their_own(tmp_path, metrics):
    pooled = {**metrics, "best_epoch": None, "folds": [{"fold": number, "best_epoch": 3} for number in range(2)]}
    page = Page(write_report(tmp_path, pooled))
    assert "epoch None" not in page.text
    assert "<td>None" not in page.source
    assert "selected epoch" not in page.text


def test_it_says_what_was_typed(tmp_path, metrics, config):
    assert "chosen" not in Page(write_report(tmp_path, metrics, config)).text
    RunFolder(tmp_path).write_choices(Choices({"augment": "none"}, ("augment=none", "optimizer.lr=3e-3")))
    assert "augment=none, optimizer.lr=3e-3" in Page(write_report(tmp_path, metrics, config)).text


def test_small_networks_and_plain_images_are_said_in_words(metrics, tiny_config):
    said = dict(facts({**metrics, "macs": 1_234_000}, tiny_config("augment=none")))
    assert said["augmentation"] == "none"
    assert said["size"].endswith(", 1.2 million multiply-accumulates per image")
    said = dict(facts({**metrics, "macs": 1_820_000_000}, tiny_config("augment=light")))
    assert "flip 0.5" in said["augmentation"]
    assert said["size"].endswith(", 1.82 billion multiply-accumulates per image")
