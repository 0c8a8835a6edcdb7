"""The page answers about pictures, to itself alone; in a browser, where there is one, it shows what it was told."""

import io
import json
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer.errors import ConfigError
from fer.evaluation.trained_model import load_trained
from fer.inference.page.answer import UNLIKE, about, certainty
from fer.inference.page.handler import PICTURE
from fer.inference.page.server import MAX_CONCURRENT, PageServer
from fer.inference.predictor import EmotionClassifier
from tests.inference.browser import Browser, chromium
from tests.inference.page_requests import MOST, ask


@pytest.fixture(scope="module")
def crowd(seen_faces: list[np.ndarray], put_faces: Callable) -> np.ndarray:
    """A picture, uint8 [360, 560], with one face in it."""
    return put_faces([(seen_faces[0], 200, 100)])


def encoded(picture: np.ndarray, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, form)
    return content.getvalue()


def test_the_page_takes_nothing_from_elsewhere(server: PageServer) -> None:
    scripts = [(path, "text/javascript") for path in ("/page.js", "/view.js", "/table.js", "/answers.js")]
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), *scripts):
        status, headers, content = ask(server, "GET", path)
        assert (status, headers.get_content_type()) == (200, kind)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "//" not in policy
        text = content.decode()
        assert not any(address in text for address in ('src="http', 'href="http', "url(", "@import", 'src="//'))
        assert "Access-Control-Allow-Origin" not in headers


def test_the_page_says_what_the_model_is_and_that_expressions_are_no_feelings(server: PageServer) -> None:
    assert b"An expression is not a feeling" in ask(server, "GET", "/")[2]
    about = json.loads(ask(server, "GET", "/about")[2])
    assert (about["trained_on"], about["network"], about["calibrated"]) == ("fer2013", "test_resnet", True)
    assert about["max_bytes"] == MOST
    assert len(about["classes"]) == 7
    assert any("FER2013" in sentence for sentence in about["limits"])
    assert 0 <= about["accuracy"] <= 1
    assert about["warning"] == ""


def test_a_model_of_drawn_faces_says_so_loudly(trained_run: Path) -> None:
    model = load_trained(trained_run)
    about_drawn = about(replace(model, data={**(model.data or {}), "name": "demo"}))
    assert "drawn faces alone" in about_drawn["warning"]


def test_an_answer_is_what_the_classifier_predicts(
    server: PageServer, trained_run: Path, crowd: np.ndarray, seen_faces: list[np.ndarray]
) -> None:
    classifier = EmotionClassifier.load(trained_run, device="cpu")
    for picture in (crowd, seen_faces[1]):
        expected = classifier.predict(picture)[0]
        status, headers, content = ask(server, "POST", "/faces", encoded(picture))
        answer = json.loads(content)
        assert (status, headers.get_content_type(), headers["Cache-Control"]) == (200, "application/json", "no-store")
        assert (answer["width"], answer["height"]) == picture.shape[::-1]
        assert answer["found"] == len(answer["faces"]) == len(expected) == 1
        face, own = answer["faces"][0], expected[0]
        assert face["emotion"] == own.emotion
        assert face["probabilities"] == pytest.approx(own.probabilities, abs=1e-6)
        assert face["box"] == (own.box and {"left": own.box.left, "top": own.box.top, "side": own.box.side})
        assert face["seen"].startswith("data:image/png;base64,")
        assert face["novelty"] == pytest.approx(own.novelty, abs=1e-6)
        assert (face["certainty"] == UNLIKE) == own.is_unlike_training
        assert "map" not in face


@pytest.mark.skipif(find_spec("pytorch_grad_cam") is None, reason="needs grad-cam")
def test_maps_come_when_they_are_asked_for(server: PageServer, crowd: np.ndarray) -> None:
    face = json.loads(ask(server, "POST", "/faces?maps", encoded(crowd))[2])["faces"][0]
    assert face["map"].startswith("data:image/png;base64,")


def test_a_camera_frame_without_a_face_has_none(server: PageServer) -> None:
    blank = encoded(np.full((128, 128), 90, np.uint8))
    assert json.loads(ask(server, "POST", "/faces?camera", blank)[2])["faces"] == []
    assert json.loads(ask(server, "POST", "/faces", blank)[2])["faces"] == []  # a square picture is no face either


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"PK\x03\x04 no picture", "not an image"),
        (b"", "not an image"),
        (encoded(np.zeros((64, 64), np.uint8), "JPEG")[:300], "cannot be read"),
    ],
)
def test_what_is_no_picture_is_said_in_a_line(server: PageServer, content: bytes, line: str) -> None:
    status, _, answer = ask(server, "POST", "/faces", content)
    assert status == 400
    assert line in json.loads(answer)["error"]
    assert "Traceback" not in answer.decode()


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/faces", {"Content_Length": str(MOST + 1)}, 413),
        ("POST", "/faces", {"Content_Length": "9" * 40}, 413),
        ("POST", "/faces", {"Content_Length": "-1"}, 411),
        ("POST", "/faces", {"Transfer_Encoding": "chunked"}, 411),
        ("POST", "/faces", {"Content_Type": "text/plain"}, 415),
        ("POST", "/faces", {"Origin": "http://elsewhere.example"}, 403),
        ("POST", "/faces", {"Origin": "null"}, 403),
        ("POST", "/faces", {"Origin": "http://[bad"}, 400),
        ("GET", "/about", {"Host": "rebound.example"}, 403),
        ("GET", "/../pyproject.toml", {}, 404),
        ("POST", "/", {}, 404),
        ("PUT", "/faces", {}, 501),
    ],
)
def test_others_are_refused(server: PageServer, method: str, path: str, headers: dict[str, str], status: int) -> None:
    found, _, content = ask(server, method, path, None, **headers)
    assert found == status
    assert list(json.loads(content)) == ["error"]


@pytest.mark.parametrize(("full", "size", "status"), [(True, MOST, 503), (False, 4 * MOST, 413)])
def test_a_refusal_reaches_whoever_is_still_sending(full: bool, size: int, status: int, server: PageServer) -> None:
    held = [server.slots.acquire(timeout=10) for _ in range(MAX_CONCURRENT if full else 0)]
    try:
        for _ in range(3):
            assert ask(server, "POST", "/faces", bytes(size))[0] == status
    finally:
        for _ in held:
            server.slots.release()


def test_an_address_that_is_none_is_refused(server: PageServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(b"GET http://[bad/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert b" 400 " in connection.recv(4096).splitlines()[0]


def test_a_picture_that_breaks_off_is_forgotten(server: PageServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        lines = [
            "POST /faces HTTP/1.0",
            "Host: localhost",
            f"Content-Type: {PICTURE}",
            "Content-Length: 100",
            "",
            "half",
        ]
        connection.sendall("\r\n".join(lines).encode())
        connection.shutdown(socket.SHUT_WR)
        assert b" 400 " in connection.recv(4096).splitlines()[0]
    assert ask(server, "GET", "/")[0] == 200


def test_no_more_pictures_than_memory_is_meant_for(server: PageServer, crowd: np.ndarray) -> None:
    for _ in range(MAX_CONCURRENT):
        assert server.slots.acquire(timeout=10)
    try:
        assert ask(server, "POST", "/faces", encoded(crowd))[0] == 503
    finally:
        server.slots.release(MAX_CONCURRENT)
    assert ask(server, "POST", "/faces", encoded(crowd))[0] == 200


def test_many_at_once_are_answered_alike(server: PageServer, crowd: np.ndarray) -> None:
    body, answers = encoded(crowd), []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(server, "POST", "/faces?maps", body)[2]))
        for _ in range(MAX_CONCURRENT)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == MAX_CONCURRENT
    assert len(set(answers)) == 1


HOSTILE_LINES = [
    *(
        "GET / HTTP/1.1",
        "GET /../../etc/passwd HTTP/1.1",
        "GET /%00%ff HTTP/1.1",
        "POST /faces HTTP/1.1",
        "GET /",
        "GET",
    ),
    *("POST /faces?maps&maps=%zz HTTP/1.0", "DELETE /faces HTTP/9.9", "\x16\x03\x01\x02", "GET " + "a" * 70_000, ""),
]
HOSTILE_HEADERS = [
    *("Host: localhost", "Host: evil.example", "Host: [::", "Host: localhost:99999", "Origin: http://evil.example"),
    *(f"Content-Type: {PICTURE}", "Content-Type: text/html", "Content-Length: 30", "Content-Length: -1"),
    *("Content-Length: 9" + "9" * 30, "Content-Length: ٣", "Transfer-Encoding: chunked", "Expect: 100-continue"),
    *("X: " + "y" * 70_000, "no colon", ": nothing", "Connection: keep-alive", "Range: bytes=0-"),
]


def test_hostile_requests_and_fifty_at_once(server: PageServer, crowd: np.ndarray, capfd, caplog) -> None:
    chance = random.Random(0)
    for number in range(200):
        headers = chance.sample(HOSTILE_HEADERS, chance.randint(0, 6)) * chance.choice([1, 1, 60])
        body = chance.choice([b"", chance.randbytes(30), encoded(crowd)[:30]])
        request = "\r\n".join([chance.choice(HOSTILE_LINES), *headers, "", ""]).encode() + body
        address = ("127.0.0.1", server.server_port)
        with suppress(ConnectionError), socket.create_connection(address, timeout=20) as connection:
            connection.sendall(request[: chance.choice([None, len(request) // 2])])
            if number % 3:  # the others are gone before they are answered
                with suppress(OSError):  # it may have hung up already
                    connection.shutdown(socket.SHUT_WR)
                connection.recv(4096)
    statuses: list[int] = []
    body = encoded(crowd)
    threads = [
        threading.Thread(target=lambda: statuses.append(ask(server, "POST", "/faces", body)[0])) for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 50
    assert set(statuses) <= {200, 503}
    assert 200 in statuses
    assert ask(server, "POST", "/faces", body)[0] == 200
    assert "Traceback" not in "".join(capfd.readouterr()) + caplog.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_picture_that_comes_drop_by_drop_holds_no_place(server: PageServer, monkeypatch) -> None:
    monkeypatch.setattr("fer.inference.page.handler.MAX_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        head = f"POST /faces HTTP/1.0\r\nHost: localhost\r\nContent-Type: {PICTURE}\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode())
        with suppress(ConnectionError):
            for _ in range(50):
                connection.sendall(b"x")
                time.sleep(0.02)
        assert b" 408 " in connection.recv(4096).splitlines()[0]


def test_addresses_that_cannot_be_had_are_said(server: PageServer) -> None:
    with pytest.raises(ConfigError, match="port=0 takes any free port"):
        PageServer(server.answers, "127.0.0.1", server.server_port, MOST)
    with pytest.raises(ConfigError, match="port=0 takes any free port"):
        PageServer(server.answers, "127.0.0.1", 70000, MOST)


@pytest.mark.parametrize(
    ("probabilities", "words"),
    [
        ({"happy": 0.95, "sad": 0.04, "fear": 0.01}, "clear"),
        ({"happy": 0.1, "sad": 0.75, "fear": 0.15}, "fairly clear"),
        ({"happy": 0.3, "sad": 0.55, "fear": 0.15}, "not clear, perhaps happy"),
        ({"happy": 0.35, "sad": 0.25, "fear": 0.4}, "a guess between fear and happy"),
    ],
)
def test_certainty_in_words(probabilities: dict[str, float], words: str) -> None:
    assert certainty(probabilities) == words


@pytest.mark.skipif(chromium() is None, reason="needs Chromium")
def test_a_browser_shows_the_answer(server: PageServer, crowd: np.ndarray, tmp_path: Path) -> None:
    picture = tmp_path / "crowd <b>.png"
    picture.write_bytes(encoded(crowd))
    expected = json.loads(ask(server, "POST", "/faces", encoded(crowd))[2])["faces"][0]
    with Browser() as browser:
        for width, dark in ((1100, False), (390, True)):
            browser.open(server.url, width=width, dark=dark)
            browser.wait_for("document.getElementById('trained').textContent.includes('fer2013')")
            browser.upload("#file", picture)
            browser.wait_for("!document.getElementById('result').hidden")
            assert browser.value("document.querySelector('#faces .emotion').textContent") == expected["emotion"]
            assert browser.value("document.querySelector('#faces .certainty').textContent") == expected["certainty"]
            assert browser.value("document.querySelectorAll('#faces tr').length") == len(expected["probabilities"])
            assert browser.value("document.documentElement.scrollWidth") <= width
            assert browser.value("getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'") != dark
        browser.upload("#file", Path(__file__))
        browser.wait_for("!document.getElementById('error').hidden")
        assert "not an image" in browser.value("document.getElementById('error').textContent")
        browser.value("document.getElementById('camera').click()")  # of Chromium itself, which shows no face
        browser.wait_for("document.getElementById('summary').textContent.startsWith('No face found')")
        browser.value("document.getElementById('camera').click()")
        elsewhere = [url for url in browser.requested if not url.startswith((server.url, "blob:", "data:"))]
        assert elsewhere == []
        assert not [message for message in browser.messages if "400" not in message]


@pytest.mark.skipif(chromium() is None, reason="needs Chromium")
def test_a_camera_that_comes_too_late_is_switched_off(server: PageServer, crowd: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "crowd.png").write_bytes(encoded(crowd))
    button = "document.getElementById('camera')"
    with Browser() as browser:
        browser.open(server.url)
        browser.value(
            "navigator.mediaDevices.getUserMedia = () => new Promise((grant) => { window.grant = grant; }), 0"
        )
        browser.value("document.body.classList.add('busy')")  # a picture that is still asked about
        browser.value(f"{button}.click()")
        assert browser.value(f"{button}.disabled")  # no second question to the user
        assert not browser.value("document.body.classList.contains('busy')")
        browser.upload("#file", tmp_path / "crowd.png")
        browser.wait_for("!document.getElementById('result').hidden")
        browser.value("window.stopped = 0")
        browser.value("window.grant({ getTracks: () => [{ stop: () => { window.stopped += 1; } }] }), 0")
        browser.wait_for("window.stopped === 1")
        browser.wait_for(f"!{button}.disabled")
        assert browser.value(f"{button}.getAttribute('aria-pressed')") == "false"
        assert browser.value("document.querySelectorAll('#faces tr').length") > 0
        assert not browser.messages
