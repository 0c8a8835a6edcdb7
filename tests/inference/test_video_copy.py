"""Copies of videos with what was seen: their times, what plays them, and disks that are full."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fer.errors import DataError
from fer.inference.frames import open_video, read_frames
from fer.inference.predictor import EmotionClassifier
from fer.inference.video import predict_video
from fer.inference.video_copy import MP4Copy, WebMCopy, video_copy
from tests.inference.browser import Browser, chromium
from tests.inference.clips import write_clip

SUFFIXES = (".webm", *([".mp4"] if find_spec("av") else []))


def test_a_copy_keeps_the_time_of_frames_that_come_irregularly(tmp_path: Path) -> None:
    copy = WebMCopy(tmp_path / "copy.webm", 10, (64, 48))
    times = [number / 20 for number in range(20)] + [1.0, 3.0, 4.5]  # twice too many, then too few
    for number, seconds in enumerate(times):
        copy.add(seconds, np.full((48, 64, 3), 10 * number, np.uint8))
    copy.close()
    capture, facts = open_video(str(tmp_path / "copy.webm"))
    levels = [frame.pixels.mean() / 10 for frame in read_frames(capture, facts, None)]
    assert len(levels) == copy.written == 46
    for seconds in (0.5, 1.0, 2.0, 2.8, 3.5, 4.5):
        shown = max(number for number, time in enumerate(times) if time <= seconds)
        assert levels[round(seconds * 10)] == pytest.approx(shown, abs=1.2)


@pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV")
def test_a_copy_in_h264_has_the_very_times(tmp_path: Path) -> None:
    copy = MP4Copy(tmp_path / "copy.mp4", 10, (64, 48))
    times = [7 + seconds for seconds in (*np.arange(20) / 20, 1.0, 3.0, 4.5)]
    for number, seconds in enumerate(times):
        copy.add(seconds, np.full((48, 64, 3), 10 * number, np.uint8))
    copy.close()
    capture, facts = open_video(str(tmp_path / "copy.mp4"))
    frames = list(read_frames(capture, facts, None))
    assert [frame.seconds for frame in frames] == pytest.approx([seconds - 7 for seconds in times], abs=2e-3)
    assert [frame.pixels.mean() / 10 for frame in frames] == pytest.approx(range(23), abs=0.5)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.skipif(chromium() is None, reason="needs Chromium")
def test_a_browser_plays_a_copy_from_the_page_of_results(
    suffix: str,
    classifier: EmotionClassifier,
    seen_faces: list[np.ndarray],
    put_faces,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fer.inference.video.copy_suffix", lambda: suffix)
    bright, dark = (np.full((240, 320), level, np.uint8) for level in (220, 30))
    path = write_clip(tmp_path / "clip.mp4", [bright] * 10 + [dark] * 10, 10)
    predict_video(classifier, str(path), tmp_path / "out")
    with Browser() as browser:
        browser.open((tmp_path / "out" / "results.html").as_uri())
        video = "document.querySelector('video')"
        browser.wait_for(f"{video}.readyState >= 2")
        assert browser.value(f"[{video}.videoWidth, {video}.videoHeight]") == [320, 240]
        assert browser.value(f"{video}.duration") == pytest.approx(2, abs=0.15)
        browser.value(f"{video}.play()")
        browser.wait_for(f"{video}.ended")
        assert browser.value(f"{video}.getVideoPlaybackQuality().totalVideoFrames") >= 10
        browser.value(f"new Promise((done) => {{ {video}.onseeked = done; {video}.currentTime = 0.5; }}).then(() => 0)")
        assert not browser.messages


def test_a_copy_that_cannot_be_read_back_is_not_there(tmp_path: Path, clip: Path) -> None:
    capture, facts = open_video(str(clip))
    capture.release()
    path = tmp_path / "annotated.webm"
    with pytest.raises(DataError, match="give annotate=false"), video_copy(path, facts, (64, 48)) as write:
        write(0.0, np.zeros((48, 64, 3), np.uint8))
        write(0.1, np.zeros((48, 64, 3), np.uint8))
        for temporary in tmp_path.glob(".annotated*"):
            temporary.unlink()  # as if the disk were full
            temporary.write_bytes(b"")
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from fer.errors import FERError
from fer.inference.frames import open_video
from fer.inference.video_copy import video_copy
capture, facts = open_video(sys.argv[1])
target = Path(sys.argv[2])
for limit in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with video_copy(target, facts, (64, 48)) as write:
            for number, frame in enumerate(np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8)):
                write(number / facts.rate, frame)
    except (FERError, OSError) as error:
        assert "\\n" not in str(error)
        assert list(target.parent.iterdir()) == [], list(target.parent.iterdir())
        print("refused", limit)
    else:
        print("written", target.stat().st_size)
        target.unlink()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_copy_at_a_rate_that_falls_is_whole(suffix: str, clip: Path, tmp_path: Path) -> None:
    """As telephones record: 30 frames a second at first, then one a second."""
    capture, facts = open_video(str(clip))
    capture.release()
    times = [*np.arange(45) / 30, *range(2, 46)]
    with video_copy(tmp_path / f"copy{suffix}", facts, (64, 48)) as add:
        for number, seconds in enumerate(times):
            add(seconds, np.full((48, 64, 3), number, np.uint8))
    capture, facts = open_video(str(tmp_path / f"copy{suffix}"))
    assert [frame.seconds for frame in read_frames(capture, facts, None)][-1] == pytest.approx(45, abs=0.05)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_disk_that_is_full_at_any_byte_leaves_no_copy(suffix: str, clip: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    limits = [1, 300, 5_000, 20_000, 50_000, 1 << 30]
    command = [sys.executable, "-c", FULL_DISK, str(clip), str(home / f"copy{suffix}"), *map(str, limits)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines() if line.startswith(("refused", "written"))]
    size = int(told[-1][1])
    assert [word for word, _ in told] == ["refused" if limit < size else "written" for limit in limits]
