"""The command from run folders to files: what a user finds, and in which form."""

import csv
import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from fer.comparison.compare import compare, output_folder
from fer.comparison.result import transfers
from fer.errors import RunError

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare.py"


@pytest.fixture(scope="module")
def study(sweep, tmp_path_factory):
    """The sweep, compared."""
    folder = tmp_path_factory.mktemp("study")
    return folder, compare([sweep], folder, measure=False)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_holds_a_row_per_model_and_data_set(study, sweep):
    rows = rows_of(study[0] / "comparison.csv")
    assert [(row["model"], row["data"], row["seeds"]) for row in rows] == [
        (f"ResNet-{depth}", data, "3") for data in ("ckplus", "fer2013") for depth in (18, 34, 50)
    ]
    accuracies = [
        json.loads((sweep / f"resnet18_fer2013_seed{seed}" / "metrics.json").read_text())["test/accuracy"]
        for seed in range(3)
    ]
    row = rows[3]
    assert float(row["test/accuracy_mean"]) == pytest.approx(sum(accuracies) / 3)
    assert float(row["accuracy_low"]) < float(row["test/accuracy_mean"]) < float(row["accuracy_high"])
    assert (row["macs"], row["checkpoint_bytes"], row["seed_list"]) == ("94346752", "45000", "0 1 2")
    assert row["latency_ms"] == ""
    assert len(rows_of(study[0] / "runs.csv")) == 18
    differences = rows_of(study[0] / "differences.csv")
    assert len(differences) == 6
    assert all(float(d["p_holm"]) >= float(d["p"]) for d in differences)


def test_text_and_page_say_the_same(study):
    folder, comparison = study
    text = (folder / "comparison.md").read_text(encoding="utf-8")
    html = (folder / "comparison.html").read_text(encoding="utf-8")
    for difference in comparison.differences:
        sentence = f"ResNet-50 is better than {difference.second.model} by"
        if difference.first.model == "ResNet-50":
            assert sentence in text
            assert sentence in html
    for said in (
        "65.17 %",
        "98.06 %",
        "233, 470 and 527 GFLOPs",
        "[1×1, 64; 3×3, 64; 1×1, 256] × 3",
        "on the same 600",
    ):
        assert said in text
        assert said in html


def test_the_page_needs_nothing_else(study):
    html = (study[0] / "comparison.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:)""", html)
    assert html.count("<img ") == html.count("data:image/png;base64,") == 11
    assert not re.search(r'<img alt=""', html)


def test_every_figure_is_there_twice_and_linked(study):
    folder = study[0]
    stems = {path.stem for path in (folder / "figures").glob("*.png")}
    assert stems == {path.stem for path in (folder / "figures").glob("*.svg")}
    kinds = ("seeds", "differences", "accuracy_macs", "recall", "confusion_difference")
    assert stems == {f"{kind}-{data}" for kind in kinds for data in ("ckplus", "fer2013")} | {"transfer"}
    text = (folder / "comparison.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(figures/(\S+)\.png\)", text)) == stems
    for path in (folder / "figures").glob("*.png"):
        assert Image.open(path).width > 500


def test_trained_on_one_tested_on_the_other(study):
    matrix, trained, tested = transfers(study[1].entries)
    assert tested == ["ckplus", "fer2013"]
    assert trained[:2] == ["ResNet-18: ckplus", "ResNet-18: fer2013"]
    assert matrix[0, 1] == pytest.approx(0.3 + 18 / 1000 + 0.01)
    assert matrix[0, 0] == pytest.approx(study[1].entries[0].group.mean("test/accuracy"))


def test_only_the_best_model_on_unseen_images_asked_as_in_its_run_is_a_transfer(run_folder, tmp_path):
    run = tmp_path / "runs" / "one"
    run_folder(run, backbone="resnet18", data="ckplus")
    own = {"checkpoint": str(run), "data": "fer2013", "split": "test", "tta": "none", "image_size": 48}
    for number, changed in enumerate(
        (
            {"test/accuracy": 0.4},
            {"test/accuracy": 0.9, "tta": "flip"},
            {"test/accuracy": 0.9, "image_size": 96},
            {"test/accuracy": 0.9, "checkpoint": str(run / "checkpoints" / "last.ckpt")},
            {"all/accuracy": 0.9, "split": "all", "data": "ckplus", "all/images_trained_on": 800},
            {"val/accuracy": 0.9, "split": "val"},
            {"test/accuracy": 0.6, "data": "rafdb", "fold": 3},
            {"test/accuracy": 0.9, "overrides": ["data=fer2013", "data.classes=[happy,sad]"]},
        )
    ):
        folder = run / "evaluations" / str(number)
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({**own, **changed}))
    found = compare(tmp_path / "runs", tmp_path / "out", measure=False)
    matrix, _, tested = transfers(found.entries)
    assert tested == ["ckplus", "fer2013", "rafdb, fold 3"]
    assert matrix[0, 1:].tolist() == [0.4, 0.6]


def test_the_same_runs_give_the_same_files(run_folder, tmp_path):
    for seed in range(2):
        run_folder(tmp_path / "runs" / str(seed), seed=seed)
    for again in ("a", "b"):
        compare(tmp_path / "runs", tmp_path / again, measure=False)
    for name in ("comparison.csv", "comparison.md", "runs.csv", "figures/seeds-fer2013.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_one_run_and_missing_metrics_are_no_obstacle(run_folder, tmp_path, capsys):
    folder = run_folder(tmp_path / "run", backbone="test_resnet", data="demo")
    (folder / "metrics.json").write_text(json.dumps({"test/accuracy": 0.5}))
    run_folder(tmp_path / "other", finished=False)
    comparison = compare(tmp_path, tmp_path, measure=True)
    cost = comparison.entries[0].cost
    assert cost is not None
    assert (cost.parameters > 0, cost.macs > 0, cost.latency_ms > 0, cost.images_per_second > 0) == (True,) * 4
    text = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert "| test_resnet | demo | 1 | 50.00% | 67.2% to 77.6% |" in text
    assert "| – |" in text
    assert "other: still running, or stopped" in text
    assert "nothing to compare" in text
    assert "for orientation only" in text
    assert "other: still running" in capsys.readouterr().out


def test_a_device_without_room_leaves_the_costs_out(run_folder, tmp_path, monkeypatch, caplog):
    def full(*_):
        assert torch.get_float32_matmul_precision() == "highest"
        raise torch.OutOfMemoryError("no room on the device")

    monkeypatch.setattr("fer.comparison.networks._seconds", full)
    run_folder(tmp_path / "run", backbone="test_resnet", data="demo")
    comparison = compare(tmp_path, tmp_path, measure=True)
    assert comparison.entries[0].cost is None
    assert "test_resnet is not timed: no room on the device" in caplog.text


def test_figures_of_an_earlier_comparison_go(run_folder, tmp_path):
    run = run_folder(tmp_path / "a", data="demo")
    compare(tmp_path, tmp_path, measure=False)
    assert (tmp_path / "figures" / "recall-demo.png").exists()
    (tmp_path / "figures" / "mine.png").write_bytes(b"")
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("name: demo", "name: demo2"))
    compare(tmp_path, tmp_path, measure=False)
    names = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert names == {"mine.png", "recall-demo2.png", "seeds-demo2.png"}


def test_names_are_no_markup(run_folder, tmp_path):
    run_folder(tmp_path / "a", data="<b>x</b>|y")
    run_folder(tmp_path / "b", data="<b>x</b>|y", backbone="](http://x)<script>")
    compare(tmp_path, tmp_path / "out", measure=False)
    html = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert html.count("<script") == 1  # the page's own
    assert "<b>" not in html
    table = [line for line in (tmp_path / "out" / "comparison.md").read_text().splitlines() if "ResNet-18 |" in line]
    assert "&lt;b>x&lt;/b>\\|y" in table[0]


def test_nothing_finished_is_one_line(run_folder, tmp_path):
    run_folder(tmp_path / "a", finished=False)
    with pytest.raises(RunError, match="none of 1 runs is finished"):
        compare(tmp_path, tmp_path, measure=False)
    assert not (tmp_path / "comparison.html").exists()


def test_files_go_where_the_runs_are(tmp_path):
    assert output_folder(str(tmp_path)) == output_folder([str(tmp_path)]) == tmp_path
    assert output_folder([str(tmp_path)], "there") == Path("there")
    assert output_folder(["a", "b"]).parent == Path("outputs/comparisons")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["runs=gone"], "error: runs=gone: no such folder"),
        ([], "error: say what to compare: runs=FOLDER (with run folders at any depth), or runs=[A,B]"),
    ],
)
def test_the_command_ends_with_one_line_and_status_1(tmp_path, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert end.value.code == line  # what Python prints before it exits with 1
    assert list(tmp_path.iterdir()) == []
