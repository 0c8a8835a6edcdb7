"""Processes that end as they should, whatever ends them; small Python programs stand in for runs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fer.runs.folder import RunFolder
from fer.runs.status import read_status
from fer.sweeps import job
from fer.sweeps.job import quoted, train_in_process
from fer.sweeps.process import StopFile, run_process, stopped_by_signals

SAVES = """
import os, signal, sys, time
from fer.sweeps.process import end_with_parent
end_with_parent()
def save(number, frame):
    print("saved", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, {handler})
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(60)
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def once(path: Path, wanted: str):
    """Asks for `wanted` once a file is there."""
    return lambda: wanted if path.exists() and path.read_text() else None


def wait_until(condition, seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_exit_status_and_all_output_are_kept(tmp_path: Path) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    for _ in range(2):
        ending = run_process(python(code), tmp_path / "log", lambda: None)
    assert (ending.exit_status, ending.signal, ending.stopped) == (3, None, False)
    assert (tmp_path / "log").read_text().split() == ["out", "err", "out", "err"]


def test_a_run_is_told_how_many_cores_it_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_CORES", "8")  # of whoever started this command
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    code = "import os; print(os.environ['FER_CORES'], os.environ['OMP_NUM_THREADS'])"
    for cores in (2, None):
        run_process(python(code), tmp_path / "log", lambda: None, cores)
    assert (tmp_path / "log").read_text().splitlines() == ["2 2", "8 8"]


def test_a_signal_is_told_by_name(tmp_path: Path) -> None:
    ending = run_process(python("import os; os.kill(os.getpid(), 9)"), tmp_path / "log", lambda: None)
    assert (ending.exit_status, ending.signal, ending.stopped) == (None, "SIGKILL", False)


def test_a_run_that_is_asked_to_stop_may_save(tmp_path: Path) -> None:
    ready = tmp_path / "pid"
    code = SAVES.format(handler="save")
    ending = run_process(python(code, ready), tmp_path / "log", once(ready, "stop"))
    assert (ending.exit_status, ending.stopped) == (143, True)
    assert "saved" in (tmp_path / "log").read_text()


def test_a_run_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "pid"
    code = SAVES.format(handler="signal.SIG_IGN")
    ending = run_process(python(code, ready), tmp_path / "log", once(ready, "kill"))
    assert (ending.signal, ending.stopped) == ("SIGKILL", True)


@LINUX
def test_what_a_run_started_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "open(sys.argv[1], 'w').write(str(p.pid)); sys.exit(1)"
    )
    run_process(python(code, tmp_path / "pid"), tmp_path / "log", lambda: None)
    assert wait_until(lambda: not is_alive(int((tmp_path / "pid").read_text())))


@LINUX
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_saves_and_ends_when_its_parent_is_gone(how: int, tmp_path: Path) -> None:
    ready, log = tmp_path / "pid", tmp_path / "log"
    parent = (
        "import sys; from pathlib import Path; from fer.sweeps.process import run_process; "
        "run_process([sys.executable, '-c', sys.argv[1], sys.argv[2]], Path(sys.argv[3]), lambda: None)"
    )
    watcher = subprocess.Popen(python(parent, SAVES.format(handler="save"), ready, log))
    assert wait_until(lambda: ready.exists() and ready.read_text() != "")
    pid = int(ready.read_text())
    assert is_alive(pid)
    watcher.send_signal(how)
    watcher.wait(10)
    assert wait_until(lambda: not is_alive(pid))
    assert "saved" in log.read_text()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_asks_all_to_stop_and_a_second_one_to_end_at_once(number: int, status: int, tmp_path: Path) -> None:
    handler = signal.getsignal(number)
    StopFile(tmp_path).ask("stop")  # left by a sweep that was killed
    with stopped_by_signals(tmp_path) as stop:
        assert StopFile(tmp_path).asked() is None
        os.kill(os.getpid(), number)
        assert StopFile(tmp_path).asked() == "stop"
        assert stop.status == status
        os.kill(os.getpid(), number)
        assert StopFile(tmp_path).asked() == "kill"
    assert StopFile(tmp_path).asked() is None
    assert signal.getsignal(number) is handler


class TestTrainInProcess:
    """What is started is told from what stands in the folder; a script that ends as asked stands in for training."""

    RUN = """
import os, sys
from pathlib import Path
folder = Path(next(a for a in sys.argv if a.startswith("hydra.run.dir=")).partition("=")[2].strip("'"))
attempt = len(list(folder.glob("attempt*")))
(folder / f"attempt{attempt}").write_text(" ".join(sys.argv[1:]))
what = sys.argv[1].split(",")[attempt]
if what == "killed":
    os.kill(os.getpid(), 9)
if what == "crashed":
    raise RuntimeError("boom")
(folder / "metrics.json").write_text('{"val/accuracy": 0.5}')
"""

    @pytest.fixture
    def train(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / "run.py").write_text(self.RUN)
        monkeypatch.setattr(job, "TRAIN", tmp_path / "run.py")
        folder = tmp_path / "a folder"

        def run(what: str, retries: int = 1):
            status = train_in_process(RunFolder(folder), [what, "seed=1"], lambda: None, retries)
            return status, folder

        return run

    def test_a_finished_run_is_left_alone(self, train) -> None:
        status, folder = train("finished")
        assert (status.state, status.exit_status, status.attempts) == ("finished", 0, 1)
        assert read_status(folder) == status
        assert (folder / "attempt0").read_text().split()[1] == "seed=1"
        assert "hydra.mode=RUN" in (folder / "attempt0").read_text()
        again, _ = train("finished")
        assert again.state == "skipped"
        assert read_status(folder) == status
        assert not (folder / "attempt1").exists()

    def test_what_a_signal_ended_is_tried_again(self, train) -> None:
        status, folder = train("killed,finished")
        assert (status.state, status.signal, status.attempts) == ("finished", None, 2)
        assert read_status(folder) == status

    def test_but_not_for_ever(self, train) -> None:
        status, _ = train("killed,killed,finished")
        assert (status.state, status.signal, status.attempts) == ("failed", "SIGKILL", 2)
        assert status.cause == "killed by SIGKILL (out of memory?)"

    def test_a_crash_would_come_again_so_it_is_told(self, train) -> None:
        status, _ = train("crashed,finished")
        assert (status.state, status.exit_status, status.cause) == ("failed", 1, "RuntimeError: boom")
        again, _ = train("crashed,finished")  # the same command
        assert (again.state, again.attempts, again.cause) == ("finished", 2, None)
        assert again.seconds > status.seconds


def test_a_folder_of_any_name_reaches_the_run_whole(tmp_path: Path) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for name in ("plain/x_1", "with space", "a=b,c", "it's", "[x]", "ü"):
        override = OverridesParser.create().parse_override(f"hydra.run.dir={quoted(tmp_path / name)}")
        assert override.value() == str(tmp_path / name)
