"""A run folder has one writer, and is finished where its numbers stand."""

import errno
import subprocess
import sys

import pytest

from fer.errors import RunError
from fer.runs.folder import best_checkpoint, is_finished, last_checkpoint, only_writer

HOLD = """
import sys
from pathlib import Path
from fer.errors import RunError
from fer.runs.folder import only_writer
try:
    with only_writer(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
except RunError as error:
    print(error, flush=True)
"""


def other_process(folder) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_second_process_is_refused_in_one_line(tmp_path):
    with only_writer(tmp_path / "run"):
        said, _ = other_process(tmp_path / "run").communicate("\n", timeout=30)
    assert len(said.splitlines()) == 1
    assert "another run" in said
    assert "hydra.run.dir" in said


def test_a_file_system_without_locks_is_told_and_no_obstacle(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", refuse)
    with only_writer(tmp_path / "run"):
        assert "has no locks" in caplog.text


@pytest.mark.parametrize("end", ["normally", "killed"])
def test_the_folder_is_free_once_its_writer_is_gone(tmp_path, end):
    other = other_process(tmp_path)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError), only_writer(tmp_path):
            pass
        if end == "killed":
            other.kill()
        else:
            other.stdin.write("\n")
            other.stdin.flush()
        other.wait(timeout=30)
        with only_writer(tmp_path):
            pass
    finally:
        other.kill()
        other.communicate()


def test_an_error_inside_frees_the_folder(tmp_path):
    with pytest.raises(ValueError, match="inside"), only_writer(tmp_path):
        raise ValueError("inside")
    with only_writer(tmp_path):
        pass


def test_two_folders_have_two_writers(tmp_path):
    with only_writer(tmp_path / "a"), only_writer(tmp_path / "b"):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_run_is_finished_where_its_numbers_stand(tmp_path):
    with only_writer(tmp_path):
        assert not is_finished(tmp_path)
        (tmp_path / "metrics.json").write_text("{}")
        assert is_finished(tmp_path)


def test_checkpoints_have_their_places(tmp_path):
    assert best_checkpoint(tmp_path) == tmp_path / "checkpoints" / "best.ckpt"
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoints" / "last.ckpt"
