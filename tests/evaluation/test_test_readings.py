"""The ledger of a pack: a line for each time that a test split is scored."""

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from evaluations import evaluation

from fer.cli.evaluate import evaluate
from fer.comparison.compare import compare
from fer.evaluation.test_readings import Readings, note_test_reading, settings_of, split_in_words
from fer.training.train import train


def lines(pack: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((pack / "test_readings.csv").open()))


def test_readings_of_a_split_are_counted_seeds_apart(tmp_path: Path) -> None:
    one, other = {"lr": 1}, {"lr": 2}
    assert note_test_reading(tmp_path, "a", one, "test", 0.5) == Readings(1, 1)
    assert note_test_reading(tmp_path, "b", one, "test", 0.6) == Readings(2, 1)
    assert note_test_reading(tmp_path, "c", other, "test of fold 0", 0.6) == Readings(1, 1)
    assert note_test_reading(tmp_path, "d", other, "test", 0.7) == Readings(3, 2)
    found = lines(tmp_path)
    assert [row["run"] for row in found] == list("abcd")
    assert [row["accuracy"] for row in found] == ["0.5", "0.6", "0.6", "0.7"]
    assert all(row["when"] and row["commit"] for row in found)


def test_what_does_not_change_the_model_is_no_setting() -> None:
    config = {"seed": 0, "optimizer": {"lr": 1}, "data": {"name": "x", "root": "/a", "seed": 0}, "hydra": {}}
    assert settings_of(config) == {"optimizer": {"lr": 1}, "data": {"name": "x"}}
    assert split_in_words("test", None) == "test"
    assert split_in_words("test", 3) == "test of fold 3"


def test_runs_that_end_together_lose_no_line(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: note_test_reading(tmp_path, str(n), {"n": n}, "test", 0.5), range(24)))
    assert sorted(int(row["run"]) for row in lines(tmp_path)) == list(range(24))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that cannot be written")
def test_a_pack_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o500)
    assert note_test_reading(tmp_path, "a", {}, "test", 0.5) is None
    assert "is not noted" in caplog.text


def test_a_ledger_of_another_form_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "test_readings.csv").write_text("when,run\n1\n")
    assert note_test_reading(tmp_path, "a", {}, "test", 0.5) is None
    assert "is not noted" in caplog.text


def test_training_and_evaluation_note_the_test_and_reports_say_so(tiny_config, tmp_path) -> None:
    data = [f"data.root={tmp_path / 'packs'}", "trainer.max_epochs=1"]
    found = train(tiny_config(*data), tmp_path / "runs" / "one")
    assert found is not None
    assert found["test/readings"] == 1
    found = train(tiny_config(*data, "seed=1"), tmp_path / "runs" / "two")
    assert found is not None
    assert (found["test/readings"], found["test/configurations_read"]) == (2, 1)
    again = evaluate(evaluation(f"checkpoint={tmp_path / 'runs' / 'one'}", "tta=flip", "figures=false")[0])
    assert (again["test/readings"], again["test/configurations_read"]) == (3, 2)
    evaluate(evaluation(f"checkpoint={tmp_path / 'runs' / 'one'}", "split=val", "figures=false")[0])
    assert len(lines(tmp_path / "packs" / "fer2013")) == 3
    report = next((tmp_path / "runs" / "one").rglob("evaluations/*flip*/report.html"))
    assert "was scored 3 times" in report.read_text()
    comparison = compare(tmp_path / "runs", tmp_path / "comparison", measure=False)
    assert any("was scored 2 times" in remark for remark in comparison.remarks)
