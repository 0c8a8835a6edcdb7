"""Runs are found wherever they are, and what is missing or damaged is named, not fatal."""

import json

import pytest

from fer.errors import RunError
from fer.runs.finished import find_runs, read_run
from fer.runs.folder import RunFolder


def test_runs_are_found_at_any_depth_once(run_folder, tmp_path):
    first = run_folder(tmp_path / "2026-11-24" / "10-00-00")
    run_folder(tmp_path / "sweeps" / "paper" / "resnet18_fer2013_seed1", seed=1)
    finished, unfinished = find_runs([tmp_path, first, str(tmp_path / "sweeps" / "*" / "resnet18*")])
    assert [run.name for run in finished] == ["2026-11-24/10-00-00", "sweeps/paper/resnet18_fer2013_seed1"]
    assert unfinished == []
    assert finished[0].predictions is not None
    assert finished[0].metrics["checkpoint_bytes"] == 45_000


def test_folds_are_one_run(run_folder, tmp_path):
    """The pooled run counts, not its folds; what it lacks comes from them."""
    pooled = run_folder(tmp_path / "job", settings={"data.folds": 2, "folds": "all"})
    (pooled / "checkpoints" / "best.ckpt").unlink()
    metrics = json.loads((pooled / "metrics.json").read_text())
    for key in ("parameters", "macs", "train_seconds", "peak_memory_bytes"):
        del metrics[key]
    (pooled / "metrics.json").write_text(json.dumps(metrics))
    for fold in range(2):
        run_folder(pooled / f"fold{fold}", seed=fold, settings={"data.folds": 2, "data.fold": fold})
    (run,), _ = find_runs([tmp_path])
    assert [path.name for path in run.folds] == ["fold0", "fold1"]
    assert run.metrics["train_seconds"] == 100 + 101
    assert run.metrics["parameters"] == 11_173_831
    assert run.metrics["peak_memory_bytes"] == 1_400_000_000
    assert run.metrics["checkpoint_bytes"] == 45_000


def test_folds_without_their_pooled_result_are_unfinished(run_folder, tmp_path):
    run_folder(tmp_path / "job" / "fold0")
    run_folder(tmp_path / "job" / "fold1", finished=False)
    finished, (run,) = find_runs([tmp_path])
    assert finished == []
    assert run.reason == "still running, or stopped: 1 of 2 started folds finished"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (None, "still running, or stopped: no checkpoint yet"),
        ({"state": "failed", "cause": "killed by SIGKILL\n(out of memory?)"},
         "failed: killed by SIGKILL (out of memory?); no checkpoint yet"),
    ],
)  # fmt: skip
def test_an_unfinished_run_is_named_with_its_reason(run_folder, tmp_path, status, reason):
    folder = run_folder(tmp_path / "run", finished=False)
    if status:
        (folder / "status.json").write_text(json.dumps(status))
    _, (run,) = find_runs([tmp_path])
    assert run.reason == reason


@pytest.mark.parametrize(
    ("file", "content"),
    [("metrics.json", "{"), ("metrics.json", "[1]"), ("config.yaml", "a: [b"), ("config.yaml", "just: this")],
)
def test_a_damaged_run_leaves_the_others(run_folder, tmp_path, file, content):
    run_folder(tmp_path / "good")
    (run_folder(tmp_path / "bad") / file).write_text(content)
    (good,), (bad,) = find_runs([tmp_path])
    assert (good.name, bad.name) == ("good", "bad")
    assert file in bad.reason


@pytest.mark.parametrize("content", ["", "name,label\na,b\n", "name,label,predicted,loss,happy\na,happy,happy\n",
                                     "name,label,predicted,loss,happy\n" + "a,happy,happy,0,1\n" * 2])  # fmt: skip
def test_unreadable_predictions_leave_the_metrics(run_folder, tmp_path, content):
    folder = run_folder(tmp_path / "run")
    (folder / "predictions.csv").write_text(content)
    run = read_run(folder, "run")
    assert run.predictions is None
    assert run.metrics["test/accuracy"] > 0
    assert len(run.remarks) == 1


def test_people_come_from_their_file_or_from_the_names_of_ckplus(run_folder, tmp_path):
    assert RunFolder(run_folder(tmp_path / "a")).read_predictions().subjects is None
    assert len(set(RunFolder(run_folder(tmp_path / "b", people=7)).read_predictions().subjects)) == 7
    folder = run_folder(tmp_path / "c")
    rows = [f"anger/S0{n}_004_0000001{n % 3}.png,angry,angry,0,1,0" for n in range(10, 15)]
    (folder / "predictions.csv").write_text("\n".join(["name,label,predicted,loss,angry,happy", *rows]))
    assert RunFolder(folder).read_predictions().subjects.tolist() == ["S010", "S011", "S012", "S013", "S014"]


@pytest.mark.parametrize("place", ["gone", "empty"])
def test_nothing_to_read_is_one_line(tmp_path, place):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError) as error:
        find_runs([tmp_path / place])
    assert str(tmp_path / place) in str(error.value)
    assert "\n" not in str(error.value)
