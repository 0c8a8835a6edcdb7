import errno
import json
import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fer.errors import disk_error, exit_in_one_line
from fer.files import new_folder, replacing, typeable, write_json


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "note.txt"
    with replacing(path) as file:
        file.write("größer\r\n")
        assert not path.exists()
    assert path.read_bytes() == "größer\r\n".encode()
    assert entries(path.parent) == ["note.txt"]


def test_the_older_file_stands_until_the_new_one_is_written(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")
    with replacing(path, "wb") as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_older_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(failure), replacing(path) as file:
        file.write("half")
        raise failure
    assert path.read_text() == "old"
    assert entries(tmp_path) == ["note.txt"]


def test_a_failure_leaves_nothing_where_nothing_stood(tmp_path):
    with pytest.raises(ValueError, match="full"), replacing(tmp_path / "note.txt") as file:
        file.write("half")
        raise ValueError("full")
    assert entries(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with replacing(tmp_path / "replaced") as file:
        file.write("x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "replaced")]
    assert modes[0] == modes[1]


def test_json_round_trip(tmp_path):
    content = {"name": "Müller", "accuracy": 0.5, "interval": [0.25, None]}
    write_json(tmp_path / "metrics.json", content)
    text = (tmp_path / "metrics.json").read_text(encoding="utf-8")
    assert json.loads(text) == content
    assert "Müller" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_that_few_readers_take_is_refused(tmp_path, value):
    write_json(tmp_path / "metrics.json", {"loss": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "metrics.json", {"loss": value})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"loss": 1}
    assert entries(tmp_path) == ["metrics.json"]


def test_names_hold_nothing_that_the_command_line_reads() -> None:
    assert typeable("data.classes=[happy, sad],x y") == "data.classes-happy-sad-x-y"


STEPS = ["tempfile.mkstemp", "os.fdopen", "os.fsync", "os.chmod", "os.replace"]  # of a write, each of which may fail


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("older", [True, False])
def test_whatever_step_of_a_write_fails_nothing_half_stays(step, code, older, tmp_path, monkeypatch):
    path = tmp_path / "note.txt"
    if older:
        path.write_text("old")

    def refused(*_, **__):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(step, refused)
        with pytest.raises(OSError, match=os.strerror(code)) as told, replacing(path) as file:
            file.write("new")
    if code in (errno.ENOSPC, errno.EROFS, errno.EIO) and step != "tempfile.mkstemp":
        assert told.value.filename == str(path)
    assert entries(tmp_path) == (["note.txt"] if older else [])
    assert not older or path.read_text() == "old"
    with replacing(path) as file:
        file.write("new")
    assert path.read_text() == "new"


def test_a_full_disk_in_the_middle_of_a_file_leaves_nothing(tmp_path):
    """As the kernel says it: a process may not write files of more than some bytes."""
    script = (
        "import resource, sys; from fer.files import replacing\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    with replacing(sys.argv[1], 'wb') as file:\n"
        "        for _ in range(100): file.write(bytes(1000))\n"
        "except OSError as error: print(error.filename)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.bin"], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == str(tmp_path / "a.bin")
    assert entries(tmp_path) == []


def test_folders_that_are_made_at_once_are_all_new(tmp_path):
    with ThreadPoolExecutor(16) as several:
        made = list(several.map(lambda _: new_folder(tmp_path / "day" / "12-00-00"), range(40)))
    assert len(set(made)) == 40
    assert sorted(made) == sorted((tmp_path / "day").iterdir())
    assert tmp_path / "day" / "12-00-00" in made


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/ro/run"), "/ro/run cannot be written (Read-only file system)"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/a"),
            "/a cannot be written (No space left on device); free",
        ),
        (OSError(errno.EACCES, "Permission denied", "/a"), "/a cannot be used (Permission denied); give another"),
        (FileExistsError(errno.EEXIST, "File exists", "a.csv"), "a.csv cannot be used (File exists); give another"),
        (OSError(errno.ENOSPC, "No space left on device", b"run/events"), "run/events cannot be written (No space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "a file (temporary ones are in "),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "variable TMPDIR"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/a"), None),
        (OSError("anything"), None),
        (ValueError("anything"), None),
    ],
)
def test_what_a_disk_refuses_is_one_line(error, says):
    if says is None:
        assert disk_error(error) is None
        with pytest.raises(type(error)), exit_in_one_line():
            raise error
        return
    assert says in disk_error(error)
    with pytest.raises(SystemExit, match=f"error: .*{re.escape(says)}"), exit_in_one_line():
        raise ValueError("Unable to configure handler 'file'") from error


def test_a_place_that_takes_no_folder_is_one_line():
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    with pytest.raises(SystemExit, match="error: /proc/run cannot be used"), exit_in_one_line():
        Path("/proc/run").mkdir(parents=True)
    with pytest.raises(FileNotFoundError), exit_in_one_line():  # a fault of ours stays one
        Path("/proc/run").read_text()


def test_the_writer_of_tensorboard_prints_no_traceback_above_the_line(tmp_path, monkeypatch, capsys):
    from tensorboard.compat.tensorflow_stub.io import gfile
    from torch.utils.tensorboard import SummaryWriter

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device", b"run/events")

    writer = SummaryWriter(str(tmp_path), flush_secs=0)
    monkeypatch.setattr(gfile.LocalFileSystem, "append", full)
    monkeypatch.setattr(gfile.LocalFileSystem, "write", full)
    with pytest.raises(SystemExit, match=r"^error: run/events cannot be written"), exit_in_one_line():
        for step in range(100):
            writer.add_scalar("a", 1.0, step)
            writer.flush()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate\n2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("another"), False),
    ],
)
def test_memory_that_runs_out_is_one_line(error, told):
    kind, says = (SystemExit, "not enough memory") if told else (RuntimeError, "another")
    with pytest.raises(kind, match=says) as seen, exit_in_one_line():
        raise error
    assert "\n" not in str(seen.value)
