"""Videos that are no files: at an address, without an end, from a camera."""

import http.server
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from fer.errors import DataError
from fer.inference.frames import open_video
from fer.inference.inputs import Options
from fer.inference.predict import predict
from fer.inference.predictor import EmotionClassifier
from fer.inference.video import predict_video
from fer.inference.video_copy import copy_suffix
from tests.inference.clips import table


@pytest.fixture
def address(clip: Path) -> Iterator[str]:
    """Of a server with a file, `/clip.mp4`, and a stream without an end of its frames, `/live`."""
    capture, _ = open_video(str(clip))
    frames = [cv2.imencode(".jpg", frame)[1].tobytes() for _ in range(20) if (frame := capture.read()[1]) is not None]
    capture.release()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            live = self.path.startswith("/live")
            content = clip.read_bytes()
            first = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
            self.send_response(206 if first else 200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame" if live else "video/mp4")
            if not live:
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(content) - first))
                if first:
                    self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            try:
                if not live:
                    self.wfile.write(content[first:])
                for number in range(10_000 if live else 0):
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(frames[0])}\r\n\r\n"
                    frame = frames[number % len(frames)]
                    self.wfile.write(head.replace(str(len(frames[0])), str(len(frame))).encode() + frame + b"\r\n")
                    time.sleep(0.04)
            except OSError:
                pass  # whoever watched has left

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_video_at_an_address_is_as_the_file(
    classifier: EmotionClassifier, clip: Path, address: str, tmp_path: Path
) -> None:
    options = Options(annotate=False, frames_per_second=5)
    predict_video(classifier, str(clip), tmp_path / "file", options)
    predict_video(classifier, f"http://me:secret@{address}/clip.mp4?token=hidden", tmp_path / "address", options)
    assert table(tmp_path / "address") == table(tmp_path / "file")
    for file in ("results.json", "results.html"):
        text = (tmp_path / "address" / file).read_text()
        assert f"http://{address}/clip.mp4" in text
        assert "secret" not in text
        assert "token" not in text


def test_a_stream_ends_when_it_is_told_to(trained_run: Path, address: str, tmp_path: Path) -> None:
    options = Options(seconds=2, frames_per_second=5)
    summary = predict(trained_run, f"http://{address}/live", tmp_path, options, device="cpu")[0]
    assert summary.pictures >= 3
    assert 0 < float(table(tmp_path)[-1]["seconds"]) < 2
    copy, facts = open_video(str(tmp_path / f"annotated{copy_suffix()}"))
    copy.release()
    assert facts.frames >= 3
    with pytest.raises(DataError, match=r"http://127.0.0.1:9/gone\.mp4 cannot be read"):
        predict(trained_run, "http://me:secret@127.0.0.1:9/gone.mp4", tmp_path / "none", device="cpu")


def test_ctrl_c_ends_a_camera_and_keeps_what_it_saw(
    classifier: EmotionClassifier, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real, pressed = str(clip), cv2.VideoCapture, threading.Event()

    class Camera:
        """Number 0 shows the clip again and again, as a camera does."""

        def __init__(self, number: int) -> None:
            assert number == 0
            self.file = real(file)

        def __getattr__(self, name: str):
            return getattr(self.file, name)

        def read(self):
            time.sleep(0.04)
            whole, pixels = self.file.read()
            if not whole:
                self.file = real(file)
                whole, pixels = self.file.read()
                pressed.set() or signal.raise_signal(signal.SIGINT)
            return whole, pixels

    monkeypatch.setattr(cv2, "VideoCapture", lambda *given: Camera(*given) if given == (0,) else real(*given))
    before = signal.getsignal(signal.SIGINT)
    summary = predict_video(classifier, "0", tmp_path, Options(annotate=False))
    assert pressed.is_set()
    assert signal.getsignal(signal.SIGINT) is before
    assert summary.pictures >= 3
    assert json.loads((tmp_path / "results.json").read_text())["video"] == "camera 0"
    monkeypatch.undo()
    with pytest.raises(DataError, match="camera 97 cannot be opened"):
        predict_video(classifier, "97", tmp_path / "none")
