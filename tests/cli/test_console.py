"""What reaches a log file: no progress bars, no blank lines in place of them."""

import pytest

from fer.console import track


def test_no_bar_where_no_terminal_looks_on(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(3), "counting")) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    terminal = Console(force_terminal=True, record=True, width=80)
    monkeypatch.setattr("rich.get_console", lambda: terminal)
    assert list(track(iter("ab"), "counting", total=2)) == ["a", "b"]
    assert "counting" in terminal.export_text()
