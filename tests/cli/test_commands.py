"""The commands as a user types them, each in its own process; few, for each loads torch anew."""

import resource
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from fer.cli.app import renamed, run_folder

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments: str, folder: Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / arguments[0]), *arguments[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.py")))
def test_help_answers_at_once(script: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = call(script, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert script.removesuffix(".py") in done.stdout
    assert script != "train.py" or "sweep=paper" in done.stdout
    assert script != "compare.py" or "runs=outputs/sweeps/paper" in done.stdout
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2.5  # 0.5 s; more with Hydra's plugins
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_option_gets_a_hint_and_no_traceback(tmp_path: Path) -> None:
    """Others are in test_mistakes.py, without a process for each."""
    done = call("train.py", "model=resnet19", folder=tmp_path)
    assert done.returncode == 1
    assert "resnet18" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--help"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 1


def test_an_expected_error_is_one_line(tmp_path: Path) -> None:
    done = call("prepare.py", "data=fer2013", f"data.source={tmp_path}/gone.zip", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [f"error: data.source={tmp_path}/gone.zip does not exist"]


@pytest.mark.parametrize(
    ("resume", "folder"),
    [
        (None, "fresh"),
        ("outputs/a", "outputs/a"),
        ("outputs/a/checkpoints/last.ckpt", "outputs/a"),
    ],
)
def test_a_resumed_run_stays_in_its_folder(
    resume: str | None, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_folder(resume, "fresh") == "fresh"  # there is nothing yet to stay in
    (tmp_path / "outputs" / "a").mkdir(parents=True)
    assert run_folder(resume, "fresh") == folder


@pytest.mark.parametrize(
    ("before", "today"),
    [
        ("hydra.callbacks.sweep.trials=30", "hydra.sweeper.trials=30"),
        ("++hydra.callbacks.sweep.trials=30", "++hydra.sweeper.trials=30"),
        ("hydra/callbacks=search", "hydra/sweeper=optuna_search"),
        ("hydra/callbacks=[search]", "hydra/sweeper=optuna_search"),
        ("hydra.callbacks.mine.key=1", "hydra.callbacks.mine.key=1"),
        ("seed=0,1", "seed=0,1"),
    ],
)
def test_commands_of_an_earlier_version_resume_their_sweeps(before: str, today: str) -> None:
    assert renamed(before) == today


def test_help_shows_each_key_with_its_comment_and_range_and_no_private_file(tmp_path: Path) -> None:
    text = call("train.py", "--help", "data=ckplus", folder=tmp_path).stdout
    lines = text.splitlines()
    wide = [line for line in lines if len(line) > 80 and not line.startswith("  python")]
    assert all("key=value" in line or "same sweep again" in line for line in wide)  # running text
    joined = " ".join(text.split())
    assert "data.folds=10 number of subject-exclusive folds; null takes the data's own split; a whole number" in joined
    assert "optimizer.lr=0.001 a number over 0" in joined
    assert "model= resnet18, resnet34, resnet50 (default: resnet18)" in joined
    assert "_base" not in text
    assert "_target_" not in text
    assert "data=" not in call("compare.py", "--help", folder=tmp_path).stdout


@pytest.mark.parametrize(
    "command",
    [
        ("train.py", "experiment=demo", "hydra.run.dir=file/run"),
        ("predict.py", "checkpoint=.", "input=file", "output=file/run"),
        ("train.py", "-m", "experiment=demo", "seed=1,2", "hydra.sweep.dir=file/run"),
        ("prepare.py", "data=folder", "data.source=small", "data.root=file/run"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(
    command: tuple[str, ...],
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()  # where a folder is wanted: refused to everybody, also to root
    script, *words = command
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *words])
    try:
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")
    finally:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
    told = capsys.readouterr().err
    if isinstance(left.value.code, str):
        told += left.value.code  # which Python prints before it exits with 1
    else:
        assert left.value.code == 1
    lines = told.strip().splitlines()
    assert lines[-1].startswith("error: "), told
    assert "file/run" in lines[-1]
    assert "Traceback" not in told


def test_runs_that_start_in_one_second_have_folders_of_their_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = "from fer.cli.app import run_folder; print(run_folder(None, 'outputs/day/12-00-00'))"
    started = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    folders = [process.communicate(timeout=120)[0].strip() for process in started]
    assert sorted(folders) == [f"outputs/day/12-00-00{end}" for end in ("", "_2", "_3", "_4")]
    assert all((tmp_path / folder).is_dir() for folder in folders)
