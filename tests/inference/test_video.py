"""Videos: faces followed from frame to frame, probabilities smoothed."""

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer.errors import ConfigError, DataError, RunError
from fer.faces.box import FaceBox
from fer.inference.frames import open_video, read_frames
from fer.inference.inputs import Options
from fer.inference.predict import predict
from fer.inference.predictor import EmotionClassifier
from fer.inference.tracks import MAX_SIGHTINGS, Timeline, Track, Tracks, timeline_figure
from fer.inference.video import predict_video
from fer.inference.video_copy import copy_suffix
from tests.inference.clips import table, write_clip


def test_a_video_becomes_a_timeline_and_a_copy(classifier: EmotionClassifier, clip: Path, tmp_path: Path) -> None:
    summary = predict_video(classifier, str(clip), tmp_path, Options(frames_per_second=5, smoothing=0.5))
    assert summary.pictures == 20
    assert summary.faces == 2
    with (tmp_path / "timeline.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {float(row["seconds"]) for row in rows} <= {number / 5 for number in range(10)}
    left = [row for row in rows if row["face"] == rows[0]["face"]]
    assert len(left) >= 8
    shares = np.array([[float(row[name]) for name in classifier.classes] for row in rows])
    raw = np.array([[float(row[f"raw_{name}"]) for name in classifier.classes] for row in rows])
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-4)
    assert np.allclose(raw.sum(axis=1), 1, atol=1e-4)
    assert [row["emotion"] for row in rows] == [classifier.classes[k] for k in shares.argmax(axis=1)]
    copy, facts = open_video(str(tmp_path / f"annotated{copy_suffix()}"))
    assert (facts.width, facts.height, facts.frames, facts.rate) == (560, 360, 20, 10)
    copy.release()
    assert (tmp_path / "timeline.png").stat().st_size > 10_000
    items = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [item["emotion"] for item in items] == [row["emotion"] for row in rows]
    page = (tmp_path / "results.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert page.count("<h3>face ") == 2
    assert not list(tmp_path.glob(".*"))


def test_a_square_frame_without_a_face_has_none(
    classifier: EmotionClassifier, seen_faces: list[np.ndarray], put_faces, tmp_path: Path
) -> None:
    face = put_faces([(seen_faces[0], 40, 40)], width=240, height=240)
    path = write_clip(tmp_path / "square.mp4", [face] * 10 + [np.full((240, 240), face[0, 0], np.uint8)] * 15, 10)
    predict_video(classifier, str(path), tmp_path / "out", Options(annotate=False))
    rows = table(tmp_path / "out")
    assert len(rows) >= 9
    assert max(float(row["seconds"]) for row in rows) < 1.05
    predict_video(classifier, str(path), tmp_path / "whole", Options(annotate=False, faces="whole"))
    assert len(table(tmp_path / "whole")) == 25  # asked for


def test_a_slow_video_has_one_face_and_its_own_length(
    classifier: EmotionClassifier, seen_faces: list[np.ndarray], put_faces, tmp_path: Path
) -> None:
    pictures = [put_faces([(seen_faces[0], 60 + 3 * number, 40)], width=320, height=240) for number in range(12)]
    path = write_clip(tmp_path / "lapse.mp4", pictures, 0.5)
    assert predict_video(classifier, str(path), tmp_path / "out").faces == 1
    assert float(table(tmp_path / "out")[-1]["seconds"]) == pytest.approx(22, abs=0.1)
    copy, facts = open_video(str(tmp_path / "out" / f"annotated{copy_suffix()}"))
    copy.release()
    assert facts.frames / facts.rate == pytest.approx(24, abs=0.5)


def test_what_stays_of_a_long_video_is_bounded() -> None:
    timeline, shares = Timeline(), np.array([0.6, 0.4])
    for number in range(3 * MAX_SIGHTINGS):
        timeline.add(number / 10, Track(1 + number // (2 * MAX_SIGHTINGS), FaceBox(0, 0, 9), 0.0, shares, shares))
    assert MAX_SIGHTINGS / 3 < len(timeline.times) <= MAX_SIGHTINGS
    assert {face: counts.tolist() for face, counts in timeline.counts.items()} == {
        1: [2 * MAX_SIGHTINGS, 0],
        2: [MAX_SIGHTINGS, 0],
    }
    assert np.diff(timeline.times).max() < 3 * timeline.step  # evenly
    figure = timeline_figure(timeline, ["happy", "sad"], 1.0)
    assert not np.isnan(figure.axes[0].lines[1].get_ydata()).any()  # thinning is no absence


def test_a_hole_within_a_video_is_skipped_and_told(
    classifier: EmotionClassifier, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(clip.read_bytes())
    start = content.index(b"mdat") + len(content) // 3
    noise = np.random.default_rng(0).integers(0, 256, len(content) // 8, dtype=np.uint8).tobytes()
    content[start : start + len(noise)] = noise
    (tmp_path / "hole.mp4").write_bytes(content)
    summary = predict_video(classifier, str(tmp_path / "hole.mp4"), tmp_path / "out", Options(annotate=False))
    assert summary.pictures >= 10
    assert float(table(tmp_path / "out")[-1]["seconds"]) > 1.5
    assert summary.pictures == 20 or f"is damaged within: {summary.pictures} of 20 frames" in caplog.text


def test_frames_are_the_same_as_pictures(classifier: EmotionClassifier, clip: Path, tmp_path: Path) -> None:
    predict_video(classifier, str(clip), tmp_path, Options(annotate=False, frames_per_second=None, smoothing=0))
    capture, _ = open_video(str(clip))
    first = capture.read()[1]
    capture.release()
    faces = classifier.predict(cv2.cvtColor(first, cv2.COLOR_BGR2RGB), faces="all")[0]
    with (tmp_path / "timeline.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["frame"] == "0"]
    assert [float(row["probability"]) for row in rows] == pytest.approx([f.probability for f in faces], abs=1e-5)
    assert not list(tmp_path.glob("annotated*"))


def test_frames_are_due_at_the_rate_that_was_asked(clip: Path) -> None:
    for rate, due in ((None, 20), (100, 20), (5, 10), (2.5, 5), (0.1, 1)):
        capture, facts = open_video(str(clip))
        frames = list(read_frames(capture, facts, rate))
        assert (len(frames), sum(frame.due for frame in frames)) == (20, due)
        assert [frame.seconds for frame in frames] == pytest.approx(np.arange(20) / 10, abs=0.01)


def test_what_is_no_video_is_one_line(classifier: EmotionClassifier, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:2000])
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n")
    for name in ("text.mp4", "cut.mp4", "list.mp4", "gone.mp4"):
        with pytest.raises(DataError, match=name):
            predict_video(classifier, str(tmp_path / name), tmp_path / "out")
    for content, what in (
        (b"", "an empty file: download it again"),
        (b"<!DOCTYPE html><title>", "a web page, not the file"),
    ):
        (tmp_path / "none.mp4").write_bytes(content)
        with pytest.raises(DataError, match=rf"none\.mp4 is {what}"):  # which no conversion helps
            predict_video(classifier, str(tmp_path / "none.mp4"), tmp_path / "out")
    assert not (tmp_path / "out" / "timeline.csv").exists()
    with pytest.raises(ConfigError, match="frames_per_second=0"):
        predict_video(classifier, str(clip), tmp_path / "out", Options(frames_per_second=0))
    with pytest.raises(ConfigError, match="smoothing=-1"):
        predict_video(classifier, str(clip), tmp_path / "out", Options(smoothing=-1))


def test_several_videos_have_a_folder_each(
    trained_run: Path, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a.mp4", "..mp4"):
        (folder / name).write_bytes(clip.read_bytes())
    (folder / "broken.mov").write_text("no video")
    cv2.VideoWriter(str(folder / "zero.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240)).release()
    (folder / "note.md").write_text("no picture")
    out = tmp_path / "out"
    summaries = predict(trained_run, f"{folder}/*", out, Options(frames_per_second=2, annotate=False), device="cpu")
    assert [summary.pictures for summary in summaries] == [20]
    assert (out / "00001_a" / "timeline.csv").exists()
    assert "broken.mov cannot be read as a video" in caplog.text
    assert re.search(r"no frame of .*zero\.avi can be read", caplog.text)
    assert "3 of 4 inputs could not be read" in caplog.text  # the note is the other
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["00001_a"]
    with pytest.raises(RunError, match="holds predictions already"):
        predict(trained_run, f"{folder}/*", out, device="cpu")
    alone = predict(trained_run, [f"{folder}/..mp4"], tmp_path / "one", Options(annotate=False), device="cpu")
    assert (alone[0].what, (tmp_path / "one" / "timeline.csv").exists()) == ("frames", True)
    with pytest.raises(DataError, match=r"broken\.mov"):
        predict(trained_run, [f"{folder}/broken.mov"], tmp_path / "none", device="cpu")


def test_faces_keep_their_number_while_they_are_there() -> None:
    tracks = Tracks(smoothing=0)
    shares = np.eye(2)
    left, right = FaceBox(0, 0, 100), FaceBox(300, 0, 100)
    assert [track.face for track in tracks.update(0, [left, right], shares)] == [1, 2]
    moved = [FaceBox(310, 5, 95), FaceBox(20, 0, 100)]
    assert [track.face for track in tracks.update(0.1, moved, shares)] == [2, 1]
    assert [track.face for track in tracks.update(0.2, [FaceBox(25, 0, 100)], shares[:1])] == [1]
    assert [track.face for track in tracks.seen(0.3, 0.15)] == [1]
    assert [track.face for track in tracks.update(0.9, [FaceBox(305, 5, 100)], shares[:1])] == [2]
    assert [track.face for track in tracks.update(5, [left], shares[:1])] == [3]
    assert tracks.count == 3


def test_a_face_keeps_its_number_however_rare_the_looks(
    classifier: EmotionClassifier, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = Tracks(smoothing=0.5, every=4)
    box, shares = [FaceBox(0, 0, 100)], np.eye(2)[:1]
    assert [tracks.update(time, box, shares)[0].face for time in (0, 4, 12)] == [1, 1, 1]  # missed at 8
    assert tracks.update(23, box, shares)[0].face == 2
    drawn: list[int] = []
    monkeypatch.setattr("fer.inference.video.draw_face", lambda *_: drawn.append(1))
    predict_video(classifier, str(clip), tmp_path, Options(frames_per_second=1))
    assert len(drawn) >= 2 * 18  # both faces in nearly every frame of the copy, not just after a look


def test_probabilities_are_averaged_over_time() -> None:
    box = [FaceBox(0, 0, 100)]
    tracks = Tracks(smoothing=0.5)
    tracks.update(0, box, np.array([[1.0, 0.0]]))
    track = tracks.update(0.5, box, np.array([[0.0, 1.0]]))[0]
    assert track.smoothed == pytest.approx([np.exp(-1), 1 - np.exp(-1)])
    assert track.raw == pytest.approx([0, 1])
    fine, coarse = Tracks(0.5), Tracks(0.5)
    for rows, step in ((fine, 0.05), (coarse, 0.1)):
        rows.update(0, box, np.array([[1.0, 0.0]]))
        for at in np.arange(step, 0.55, step):
            last = rows.update(float(at), box, np.array([[0.0, 1.0]]))[0]
        assert last.smoothed[0] == pytest.approx(np.exp(-1), abs=1e-6)  # whatever the rate of frames


def test_the_figure_draws_what_there_is() -> None:
    times = np.concatenate([np.arange(0, 2, 0.1), np.arange(5, 7, 0.1)])
    shares = np.tile([0.7, 0.3], (40, 1))
    figure = timeline_figure(Timeline([*times], [1] * 40, [*shares], [*shares]), ["happy", "sad"], 1.0)
    line = next(line for line in figure.axes[0].lines if line.get_label() == "happy")
    assert np.isnan(line.get_ydata()).sum() == 1  # the face was away
    rare = timeline_figure(Timeline([*times], [1] * 40, [*shares], [*shares]), ["happy", "sad"], 4.0)
    assert not np.isnan(rare.axes[0].lines[1].get_ydata()).any()
    many = timeline_figure(
        Timeline([*times], [k % 6 + 1 for k in range(40)], [*shares], [*shares]), ["happy", "sad"], 1.0
    )
    assert len(many.axes) == 4
    assert len(timeline_figure(Timeline(), ["happy", "sad"], 1.0).axes) == 1
