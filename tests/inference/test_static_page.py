"""The page as a folder: what is in it, what is refused; in a browser it answers as the server does."""

import base64
import csv
import functools
import hashlib
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import fer.export.check
from fer.errors import ConfigError
from fer.evaluation.trained_model import load_trained
from fer.faces.box import FaceBox, overlap
from fer.inference.page import runtime as runtime_module
from fer.inference.page.answer import Answers
from fer.inference.page.runtime import FILES, SHA256, runtime
from fer.inference.page.static_page import write_static_page
from tests.inference.browser import Browser, chromium

for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A package that passes for onnxruntime-web."""
    folder = tmp_path_factory.mktemp("npm") / "package"
    (folder / "dist").mkdir(parents=True)
    for name, path in FILES.items():
        (folder / path).write_bytes(name.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime_module, "SHA256", {name: hashlib.sha256(name.encode()).hexdigest() for name in FILES})
        patch.setattr(fer.export.check, "ROUNDS", 1)
        yield folder


@pytest.fixture(scope="module")
def page(package: Path, trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web") / "my page"
    write_static_page(folder, str(trained_run), source=str(package))
    return folder


@pytest.fixture(scope="module")
def with_tilted(pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The pictures, and the first tilted."""
    crowd = Image.open(next(path for path in pictures if path.name == "crowd.png"))
    tilted = tmp_path_factory.mktemp("pictures") / "tilted.png"
    crowd.rotate(30, Image.Resampling.BICUBIC, fillcolor=crowd.getpixel((0, 0))).save(tilted)
    return [*pictures, tilted]


def test_a_folder_asks_nothing_of_other_hosts(page: Path) -> None:
    names = {path.relative_to(page).as_posix() for path in page.rglob("*") if path.is_file()}
    assert {"index.html", "model.onnx", "yunet.onnx", "README.md", "LICENSES.txt"} <= names
    assert {f"ort/{name}" for name in FILES} <= names
    text = (page / "index.html").read_text(encoding="utf-8")
    assert text.index("Content-Security-Policy") < text.index("<link")
    assert "default-src 'none'" in text
    assert "connect-src 'self';" in text
    assert "unsafe-inline" not in text
    assert "'unsafe-eval'" not in text
    for path in [*page.glob("*.js"), *page.glob("*.css"), page / "index.html"]:
        assert "https://" not in path.read_text(encoding="utf-8"), path
    about = json.loads((page / "about.json").read_text(encoding="utf-8"))
    assert (about["title"], about["trained_on"], about["calibrated"]) == ("FER2013", "fer2013", True)
    assert "stay in this browser" in about["privacy"]
    assert not [path for path in page.parent.iterdir() if path != page]  # nothing is left of the making


def test_an_older_page_is_replaced_and_something_else_is_not(
    page: Path, package: Path, tmp_path: Path, trained_run: Path
):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "index.html").write_text("my own page", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds something else; give a new or empty folder"):
        write_static_page(mine, str(trained_run), source=str(package))
    with pytest.raises(ConfigError, match="holds something else"):
        write_static_page(mine / "index.html", str(trained_run), source=str(package))
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "index.html"]
    older = tmp_path / "older"
    shutil.copytree(page, older)
    (older / "page.js").write_text("older", encoding="utf-8")
    write_static_page(older, str(trained_run), "fp32", source=str(package))
    assert (older / "page.js").read_bytes() == (page / "page.js").read_bytes()
    assert json.loads((older / "bundle.json").read_text(encoding="utf-8"))["precision"] == "fp32"


def test_the_package_is_checked_packed_and_unpacked(package: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "ort.tgz", "w:gz") as archive:
        archive.add(package, "package")
    assert runtime(str(tmp_path / "ort.tgz")) == runtime(str(package)) == {name: name.encode() for name in FILES}
    (package / FILES["ort.js"]).write_bytes(b"another version")
    with pytest.raises(ConfigError, match=r"ort\.wasm\.min\.mjs of .* is damaged, or of another version"):
        runtime(str(package))
    (package / FILES["ort.js"]).write_bytes(b"ort.js")
    (tmp_path / "no.tgz").write_bytes(b"no archive")
    with pytest.raises(ConfigError, match="is no package of npm"):
        runtime(str(tmp_path / "no.tgz"))
    with pytest.raises(ConfigError, match="has no dist/"):
        runtime(str(tmp_path))
    with pytest.raises(ConfigError, match="No such file"):
        runtime(str(tmp_path / "none.tgz"))


def test_the_package_is_fetched_once(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(package, "package")
    served = tmp_path / "onnxruntime-web" / "-"
    served.mkdir(parents=True)
    (served / "onnxruntime-web-1.30.0.tgz").write_bytes(content.getvalue())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", tmp_path.as_uri())
    assert runtime() == {name: name.encode() for name in FILES}
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    assert runtime() == {name: name.encode() for name in FILES}
    next((tmp_path / "cache").rglob("*.wasm")).write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=r"127.0.0.1:9/.* cannot be fetched .*; give onnxruntime_web=PATH"):
        runtime()


@pytest.fixture(scope="module")
def served(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page with the real onnxruntime-web, below others on a web host."""
    if chromium() is None:
        pytest.skip("needs Chromium")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime_module, "SHA256", SHA256)
        try:
            files = runtime()
        except ConfigError as error:
            pytest.skip(f"needs onnxruntime-web: {error}")
    root = tmp_path_factory.mktemp("host")
    shutil.copytree(page, root / "people" / "my page")
    for name, content in files.items():
        (root / "people" / "my page" / "ort" / name).write_bytes(content)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/people/my%20page/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(served: str) -> Iterator[Browser]:
    with Browser(patience=240) as browser:
        browser.open(served)
        browser.wait_for("document.getElementById('loading').hidden")
        assert browser.value("document.getElementById('error').textContent") == ""
        browser.value("import('./answers.js').then((found) => { window.answers = found; }), 0")
        browser.wait_for("window.answers")
        yield browser


def ask(browser: Browser, path: Path) -> dict[str, Any]:
    content = base64.b64encode(path.read_bytes()).decode()
    return browser.value(f"answers.ask(new Blob([Uint8Array.from(atob('{content}'), (c) => c.charCodeAt(0))]))")


def test_a_browser_answers_as_the_server_does(browser: Browser, trained_run: Path, with_tilted: list[Path]) -> None:
    answers, counts = Answers(load_trained(trained_run), "cpu"), {}
    for path in with_tilted:
        theirs, ours = ask(browser, path), answers.faces(path.read_bytes())
        counts[path.name] = theirs["found"]
        assert [theirs[key] for key in ("width", "height", "found")] == [
            ours[key] for key in ("width", "height", "found")
        ]
        for face, own in zip(theirs["faces"], ours["faces"], strict=True):
            assert face["probabilities"] == pytest.approx(own["probabilities"], abs=5e-3), path
            assert face["seen"].startswith("data:image/png;base64,")
            assert face["certainty"] == own["certainty"]
            assert face["novelty"] == pytest.approx(own["novelty"], abs=0.02)
            assert (face["box"] is None) == (own["box"] is None)
            if face["box"]:
                assert overlap(FaceBox(**face["box"]), FaceBox(**own["box"])) >= 0.95, path
                assert face["face_score"] == pytest.approx(own["face_score"], abs=0.02)
    assert counts.pop("tilted.png") >= 1
    assert counts == {"crop.png": 1, "crowd.png": 2, "empty.png": 0, "glass.png": 2, "strip.png": 0, "turned.jpg": 2}


def test_a_browser_shows_several_pictures_and_saves_the_answers(
    browser: Browser, served: str, pictures: list[Path]
) -> None:
    browser.messages.clear()
    for path in (*pictures[:2], Path(__file__)):
        browser.upload("#file", path)
    browser.wait_for("document.getElementById('pictures').children.length === 3 && !document.body.className")
    assert "cannot be read" in browser.value("document.getElementById('error').textContent")
    browser.value("document.querySelectorAll('#pictures button')[1].click()")
    browser.wait_for("!document.getElementById('result').hidden")
    assert browser.value("document.querySelectorAll('#faces .seen').length") == 4  # each also below its map, hidden
    assert browser.value("document.getElementById('error').hidden")
    browser.value("import('./table.js').then((found) => { window.table = found; }), 0")
    browser.wait_for("window.table")
    answer = "[{ name: 'a, \"b\".png', answer: { faces: [] } }, { name: 'c.png', error: 'no' }]"
    rows = list(csv.DictReader(io.StringIO(browser.value(f"table.asCsv({answer}, ['happy'])"))))
    assert [(row["picture"], row["emotion"], row["happy"]) for row in rows] == [('a, "b".png', "no face", "")]
    saved = json.loads(browser.value(f"table.asJson({answer}, {{ title: 'T', trained_on: 't', classes: ['happy'] }})"))
    assert saved["trained on"] == "T (t)"
    assert saved["pictures"] == [{"picture": 'a, "b".png', "faces": []}, {"picture": "c.png", "error": "no"}]
    browser.value("document.getElementById('camera').click()")  # of Chromium itself, which shows no face
    browser.wait_for("document.getElementById('summary').textContent.startsWith('No face found')")
    browser.value("document.getElementById('camera').click()")
    assert browser.value("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')") == "refused"
    assert all("127.0.0.1:9" in message for message in browser.messages)
    host = served.split("/people")[0]
    others = [url for url in browser.requested if not url.startswith((host, "blob:", "data:", "http://127.0.0.1:9"))]
    assert others == []
