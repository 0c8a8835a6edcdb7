"""The page takes videos, one at a time, and shows what was found."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fer.cores import CORES
from fer.inference.page.server import PageServer
from fer.inference.results import Summary
from fer.inference.video import predict_video
from tests.inference.browser import Browser, chromium
from tests.inference.page_requests import ask


def test_a_video_is_predicted_and_its_results_are_served(server: PageServer, clip: Path, monkeypatch) -> None:
    monkeypatch.setattr(server, "max_video_bytes", 10_000_000)
    assert ask(server, "POST", "/video", None, Content_Length="10000001")[0] == 413
    status, _, content = ask(server, "POST", "/video", clip.read_bytes())
    assert status == 202
    assert ask(server, "POST", "/video", b"another")[0] == 503
    address = f"/video/{json.loads(content)['name']}"
    while not (state := json.loads(ask(server, "GET", address)[2])).keys() & {"files", "error"}:
        time.sleep(0.05)
    assert (state["done"], state["faces"]) == (20, 2)
    copy, table, figure = state["files"]
    assert ask(server, "GET", f"{address}/{table}")[2].startswith(b"seconds,frame,face")
    assert ask(server, "GET", f"{address}/{figure}")[2].startswith(b"\x89PNG")
    status, headers, part = ask(server, "GET", f"{address}/{copy}", Range="bytes=4-99")
    whole = ask(server, "GET", f"{address}/{copy}")[2]
    assert (status, headers["Content-Range"], part) == (206, f"bytes 4-99/{len(whole)}", whole[4:100])
    assert ask(server, "GET", f"{address}/video")[0] == ask(server, "GET", "/video/other")[0] == 404
    name = json.loads(ask(server, "POST", "/video", b"no video")[2])["name"]
    while "error" not in (state := json.loads(ask(server, "GET", f"/video/{name}")[2])):
        time.sleep(0.05)
    assert state["error"].startswith("This video cannot be read: it cannot be read as a video")
    assert "tmp" not in state["error"]


def test_a_video_is_stopped_and_what_was_seen_is_served(server: PageServer, clip: Path, monkeypatch) -> None:
    monkeypatch.setattr(server, "max_video_bytes", 10_000_000)
    monkeypatch.setattr("fer.inference.video.MAX_WAITING", 2)  # frames of a batch
    monkeypatch.setenv(CORES, "1")  # no thread searches ahead
    asked, stopped = threading.Event(), []

    def predict(*given: Any) -> Summary:
        *others, tell, stop = given

        def told(done: int, frames: int) -> None:
            tell(done, frames)
            if done == 3:
                asked.wait(30)
                stopped.append(ask(server, "DELETE", address)[0])

        return predict_video(*others, told, stop)

    monkeypatch.setattr("fer.inference.page.videos.predict_video", predict)
    address = f"/video/{json.loads(ask(server, 'POST', '/video', clip.read_bytes())[2])['name']}"
    asked.set()
    while not (state := json.loads(ask(server, "GET", address)[2])).keys() & {"files", "error"}:
        time.sleep(0.05)
    assert stopped == [202]
    assert 3 <= state["done"] <= 6
    assert ask(server, "GET", f"{address}/{state['files'][1]}")[2].startswith(b"seconds,frame,face")
    assert ask(server, "DELETE", "/video/other")[0] == 404
    assert server.videos.free.acquire(timeout=30)  # the place is free
    server.videos.free.release()


@pytest.mark.skipif(chromium() is None, reason="needs Chromium")
def test_a_browser_plays_a_video(server: PageServer, clip: Path) -> None:
    with Browser() as browser:
        browser.open(server.url)
        browser.wait_for("document.getElementById('loading').hidden")
        browser.upload("#file", clip)
        browser.wait_for("!document.getElementById('film').hidden")
        browser.wait_for("document.getElementById('clip').videoWidth > 0 && document.images.timeline.naturalWidth")
        assert browser.value("document.getElementById('film-summary').textContent") == "20 frames, 2 faces."
        assert not browser.messages
        with server.turn:  # the network works on something else, so that it would never end
            browser.upload("#file", clip)
            browser.wait_for("document.getElementById('progress').textContent.startsWith('Predicting')")
            browser.value("document.getElementById('stop').click()")
            stops = [job.stop for job in server.videos._jobs.values()]
            assert stops[-1].wait(30)
        browser.wait_for("document.getElementById('stop').hidden && !document.body.classList.contains('busy')")
