"""What another tool predicts, from its CSV: the same numbers as from a model, found by name or row number."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluations import evaluation
from omegaconf import DictConfig

from fer.cli.evaluate import evaluate
from fer.comparison.compare import compare
from fer.errors import DataError, RunError

SYNONYMS = {"angry": "Anger", "happy": "happiness", "sad": "Sadness"}


def config(*overrides: str) -> DictConfig:
    return evaluation("figures=false", *overrides)[0]


@pytest.fixture(scope="module")
def run(tiny_run: Path) -> Path:
    return tiny_run


@pytest.fixture(scope="module")
def data(run: Path, tiny_overrides: list[str]) -> list[str]:
    """Of the run, whose pack stands."""
    return [override for override in tiny_overrides if override.startswith(("data=", "data.root"))]


@pytest.fixture
def answers(run: Path, tmp_path: Path) -> Callable[..., Path]:
    """The run's own predictions as another tool would write them, changed."""

    def make(change: Callable[[list[dict[str, str]]], list[dict[str, str]]] = list, suffix: str = ".csv") -> Path:
        rows = list(csv.DictReader((run / "predictions.csv").open()))
        rows = [{SYNONYMS.get(key, key): value for key, value in row.items() if key != "loss"} for row in rows]
        rows = change(rows)
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        path = tmp_path / f"tool{suffix}"
        content = "\n".join(lines).encode()
        path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
        return path

    return make


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_the_numbers_are_those_of_the_model_itself(run, data, answers, tmp_path, suffix):
    file = answers(lambda rows: rows[::-1], suffix)
    found = evaluate(config(*data, f"predictions={file}"), tmp_path / "other")
    ours = json.loads((run / "metrics.json").read_text())
    for key in ("test/images", "test/accuracy", "test/accuracy_ci95", "test/macro_f1", "test/accuracy_deduplicated"):
        assert found[key] == pytest.approx(ours[key])
    assert found["test/nll"] == pytest.approx(ours["test/nll"], abs=1e-3)
    evaluate(config(*data, f"predictions={file}"), tmp_path / "other")  # may be written again


def test_it_stands_in_the_comparison_paired_by_image(run, data, answers, tmp_path):
    def worse(rows):
        for row in rows[: len(rows) // 2]:
            wrong = "fear" if row["label"] != "fear" else "surprise"
            row |= {key: str(float(key == wrong)) for key in row if key not in ("name", "label", "predicted")}
        return rows

    evaluate(config(*data, f"predictions={answers(worse)}"), tmp_path / "other")
    comparison = compare([run, tmp_path / "other"], tmp_path / "comparison", measure=False)
    assert [entry.group.model for entry in comparison.entries].count("tool") == 1
    [difference] = comparison.differences
    images = json.loads((run / "metrics.json").read_text())["test/images"]
    assert difference.images == images
    rows = {row["model"]: row for row in csv.DictReader((tmp_path / "comparison" / "comparison.csv").open())}
    assert float(rows["tool"]["test/accuracy_mean"]) <= 0.5
    page = (tmp_path / "comparison" / "comparison.md").read_text()
    assert "What differs" not in page  # nothing is known of how the tool was trained
    assert "None" not in page


def test_images_without_an_answer_are_left_out_and_counted(data, answers, tmp_path, caplog):
    found = evaluate(config(*data, f"predictions={answers(lambda rows: rows[:10])}"), tmp_path / "other")
    assert found["test/images"] == 10
    assert "answers 10 of the 42 test images" in caplog.text


def test_rows_of_fer2013_csv_are_found_by_their_number(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (28, 48 * 48))
    usage = ["Training"] * 14 + ["PublicTest"] * 7 + ["PrivateTest"] * 7
    rows = [f"{i % 7},{' '.join(map(str, pixels[i]))},{usage[i]}" for i in range(28)]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
    emotions = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    lines = [f"{i},{','.join(str(float(k == i % 7)) for k in range(7))}" for i in range(28)]
    answers = tmp_path / "numbers.csv"
    answers.write_text("\n".join([",".join(["name", *emotions]), *lines]))
    data = ["data=fer2013", f"data.source={tmp_path / 'fer2013.csv'}", f"data.root={tmp_path / 'packs'}"]
    found = evaluate(config(*data, f"predictions={answers}"), tmp_path / "other")
    assert (found["test/images"], found["test/accuracy"]) == (7, 1.0)
    shifted = tmp_path / "shifted.csv"
    shifted.write_text(
        "\n".join(
            [",".join(["name", "label", *emotions])]
            + [f"{i},{emotions[(i + 1) % 7]},{','.join(['1'] + ['0'] * 6)}" for i in range(28)]
        )
    )
    with pytest.raises(DataError, match="its rows are others"):
        evaluate(config(*data, f"predictions={shifted}"), tmp_path / "shifted")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is an empty file"),
        ("<html><body>sign in</body></html>", "a web page"),
        ("\x00\x01\x02", "needed are name"),
        ("a,b\n1,2\n", "needed are name"),
        ("name,happy,sad\n", "no rows"),
        ("name,happy,sad\nx,1\n", "other lengths"),
        ("name,happy,sad\nx,much,little\n", "a number from 0 to 1"),
        ("name,happy,sad\nx,0.9,0.9\n", "add up to 1"),
        ("name,happy,sad\nx,nan,1\n", "add up to 1"),
        ("name,happy,sad\nx,1,0\nx,1,0\n", "an image twice"),
        ("name,happy,sad\nx,1,0\n", "names no image"),
        ("name,happy,sad\n7,1,0\n", "names no image"),
    ],
)
def test_a_file_that_cannot_serve_is_told_in_one_line(data, tmp_path, content, told):
    (tmp_path / "tool.csv").write_text(content)
    with pytest.raises(DataError, match=told) as error:
        evaluate(config(*data, f"predictions={tmp_path / 'tool.csv'}"), tmp_path / "other")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "other").exists()


def test_a_run_of_ours_is_not_written_over(run, data, answers):
    with pytest.raises(RunError):
        evaluate(config(*data, f"predictions={answers()}"), run)
    assert (run / "metrics.json").exists()
