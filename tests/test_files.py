import json
import os
import stat

import pytest

from fer.files import replacing, typeable, write_json


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
