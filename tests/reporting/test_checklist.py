"""The checklist is filled in from the run, blank where the run does not know, and stands in the docs."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fer.reporting.checklist import checklist

DOCS = Path(__file__).resolve().parents[2] / "docs" / "checklist.md"
METRICS = {
    "test/images": 3589, "train/images": 28709, "test/twins": 0, "test/near_twins": 987,
    "test/accuracy_without_near_twins": 0.658, "test/images_trained_on": 0, "test/readings": 12,
    "test/configurations_read": 4, "test/accuracy_ci95": [0.655, 0.686], "test/accuracy_majority": 0.247,
    "test/accuracy_chance": 1 / 7, "pack_sha256": "ab" * 32, "data_source": "fer2013.csv, SHA-256 0123456789ab",
    "commit": "c0ffee" * 7, "dirty": True, "versions": "torch 2", "threads": 2, "device": "NVIDIA H100",
    "precision": "bf16-mixed", "train_seconds": 3723.4, "peak_memory_bytes": 2**31, "best_epoch": 7,
    "test/groups": [{"attribute": "gender", "group": "male"}],
}  # fmt: skip


def answers(metrics, config=None, data="fer2013"):
    return {question: answer for _, question, answer in checklist(metrics, config, data, "test")}


def test_what_the_run_knows_is_filled_in():
    config = OmegaConf.create({"seed": 3, "data": {"folds": None}, "model": {"weights": "imagenet"}})
    found = answers(METRICS, config)
    assert found["Data and version"] == "fer2013, fer2013.csv, SHA-256 0123456789ab, SHA-256 of the pack abababababab"
    assert found["Images of the same photograph in training and test"] == "at least 987; accuracy without them 65.8%"
    assert found["Exact duplicates in training and test"] == "0"
    assert found["How often the test split was scored"].startswith("12 ")
    assert found["For how many configurations"].startswith("4 ")
    assert found["Uncertainty of the accuracy"] == "95 % interval 65.5% to 68.6% over 3,589 images"
    assert found["Seeds"].startswith("1 (seed 3)")
    assert found["Code"] == "commit c0ffeec0ffee, with changes"
    assert found["Hardware"] == "NVIDIA H100, bf16-mixed, 2 threads"
    assert found["Results by groups of people"].startswith("gender")
    assert found["Licence of the data"]


@pytest.mark.parametrize("data", ["fer2013", "mine"])
def test_what_the_run_does_not_know_is_blank(data):
    found = answers({}, None, data)
    known = {"Data and version", *({"Owner of the data", "Licence of the data"} if data == "fer2013" else ())}
    assert {question for question, answer in found.items() if answer} == known


def test_people_are_apart_where_folds_are_by_people():
    config = OmegaConf.create({"seed": 0, "data": {"folds": 10}})
    assert answers({"test/subjects": 12}, config)["People in both training and test"] == "none: folds are by people"
    assert answers({"test/subjects": 12})["People in both training and test"] == ""


def test_the_docs_have_the_same_questions():
    rows = [line.split("|")[1].strip() for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    config = OmegaConf.create({"seed": 0})
    expected = []
    for part, question, _ in checklist(METRICS, config, "fer2013", "test"):
        expected += [] if f"**{part}**" in expected else [f"**{part}**"]
        expected.append(question)
    assert [row for row in rows if row not in ("question", "---")] == expected
