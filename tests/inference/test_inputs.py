"""What input= names: files, folders, patterns, lists; hostile trees included."""

import time
from pathlib import Path

import pytest

from fer.errors import ConfigError, DataError
from fer.inference.inputs import list_inputs


def list_pictures(source: str | list[str]) -> list[str]:
    return list_inputs(source).pictures


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def relative(found: list[str], folder: Path) -> list[str]:
    return [str(Path(path).relative_to(folder)) for path in found]


def test_a_folder_gives_its_pictures_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a/z.png", "a/y.webp", "note.md", ".hidden.png", "a/.cache/c.png", "c/d/e.gif")
    assert relative(list_pictures(str(tmp_path)), tmp_path) == ["b.JPG", "a/y.webp", "a/z.png", "c/d/e.gif"]


def test_links_in_circles_end(tmp_path: Path) -> None:
    touch(tmp_path, "a/one.png", "b/two.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b" / "over").symlink_to(tmp_path / "a")
    (tmp_path / "itself").symlink_to("itself")
    assert sorted(Path(path).name for path in list_pictures(str(tmp_path))) == ["one.png", "two.png"]


def test_a_linked_folder_is_looked_into(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "one.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
    assert relative(list_pictures(str(tmp_path / "here")), tmp_path) == ["here/link/one.png"]


def test_a_pattern_gives_what_it_matches(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "a/2.jpg", "b/3.png")
    assert relative(list_pictures(f"{tmp_path}/*/*.png"), tmp_path) == ["a/1.png", "b/3.png"]
    assert len(list_pictures(f"{tmp_path}/**")) == 3


def test_a_file_with_magic_letters_is_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "holiday [1].png")
    assert relative(list_pictures(str(tmp_path / "holiday [1].png")), tmp_path) == ["holiday [1].png"]


def test_a_list_names_pictures_from_here_or_from_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "here/a.png", "lists/b c.png")
    (tmp_path / "lists" / "all.txt").write_bytes(b"\xef\xbb\xbfa.png\r\n\r\nb c.png\n/gone.png\n")
    monkeypatch.chdir(tmp_path / "here")
    found = list_pictures(str(tmp_path / "lists" / "all.txt"))
    assert found == ["a.png", str(tmp_path / "lists" / "b c.png"), "/gone.png"]


def test_several_inputs_come_one_after_another(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "more/b.png")
    assert relative(list_pictures([str(tmp_path / "a.png"), str(tmp_path / "more")]), tmp_path) == [
        "a.png",
        "more/b.png",
    ]


def test_one_that_is_missing_among_several_is_left_to_be_named_and_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    assert relative(list_pictures([str(tmp_path / "a.png"), str(tmp_path / "gone.png")]), tmp_path) == [
        "a.png",
        "gone.png",
    ]


def test_nothing_is_said_in_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "note.md")
    with pytest.raises(DataError, match="there is no"):
        list_pictures(str(tmp_path / "gone"))
    with pytest.raises(DataError, match="no picture in"):
        list_pictures(str(tmp_path))
    with pytest.raises(DataError, match="no picture in"):
        list_pictures(f"{tmp_path}/*.png")
    with pytest.raises(ConfigError, match="input=PATH"):
        list_pictures([])


def test_a_full_folder_is_listed_fast(tmp_path: Path) -> None:
    for number in range(5000):
        (tmp_path / f"{number:05d}.jpg").touch()
    started = time.perf_counter()
    assert len(list_pictures(str(tmp_path))) == 5000
    assert time.perf_counter() - started < 1  # 100,000 take half a second


def test_videos_are_taken_where_they_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.MP4", "b.mov", "c.png", "frames.mp4/1.png")
    assert list_inputs(str(tmp_path / "a.MP4")).videos == [str(tmp_path / "a.MP4")]
    both = list_inputs(f"{tmp_path}/*")
    assert relative(both.videos, tmp_path) == ["a.MP4", "b.mov"]
    assert relative(both.pictures, tmp_path) == ["c.png"]
    assert relative(list_pictures(str(tmp_path / "frames.mp4")), tmp_path) == ["frames.mp4/1.png"]
    (tmp_path / "all.txt").write_text("c.png\nb.mov\n")
    listed = list_inputs(str(tmp_path / "all.txt"))
    assert (relative(listed.pictures, tmp_path), relative(listed.videos, tmp_path)) == (["c.png"], ["b.mov"])


def test_videos_in_a_folder_are_told_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "both/a.mov", "both/b.mov", "both/c.heic", "videos/a.mp4")
    found = list_inputs(str(tmp_path / "both"))
    assert (relative(found.pictures, tmp_path), found.videos) == (["both/c.heic"], [])
    assert f"left out: 2 videos in {tmp_path}/both; for them give input='{tmp_path}/both/*.mov'" in caplog.text
    with pytest.raises(DataError, match=r"no picture, but 1 video in .*; for them give input='.*/videos/\*\.mp4'"):
        list_inputs(str(tmp_path / "videos"))
