"""What the command prints."""

import pytest

from fer.data.prepare import prepare
from fer.errors import ConfigError


def test_prepare_prints_what_the_pack_holds(tmp_path, small, write_folder, capsys):
    write_folder(small, {"odd [/name].txt": b"text"})
    prepare("faces", str(small), str(tmp_path), 48)
    printed = capsys.readouterr().out
    assert "6 images" in printed
    assert "happy" in printed
    assert "unknown" in printed  # subjects
    assert "left out: odd [/name].txt: not a picture" in printed


def test_prepare_without_a_source(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.source=PATH"):
        prepare("faces", None, str(tmp_path), 48)
