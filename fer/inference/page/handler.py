"""The requests that the page's server answers: a few fixed files, pictures, videos and their results.

Whatever web page is open in the same browser can send requests to this machine, too. They are answered only if
the browser says that they come from the page itself (Origin, Host), and pictures only with a content type that other
origins may not send without asking first.
"""

import json
import logging
import re
import shutil
import socket
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from fer.errors import FERError
from fer.inference.page.videos import KINDS, VIDEO
from fer.inference.page.videos import MAX_SECONDS as MAX_VIDEO_SECONDS

if TYPE_CHECKING:
    from fer.inference.page.server import PageServer

log = logging.getLogger(__name__)

PICTURE = "application/octet-stream"
SCRIPTS = ("page", "view", "table", "answers")
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in SCRIPTS},
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
PRIVACY = (
    "Pictures and camera frames go to the program that serves this page and nowhere else. They stay in memory while "
    "the model works on them. Videos and their annotated copies lie in a temporary folder there until the program ends "
    "or others follow; nothing else is stored."
)
TIMEOUT = 20  # seconds that a connection may be silent
MAX_SECONDS = 120  # that a picture may take to arrive
MAX_PART = 8_000_000  # bytes of a video in one answer, where a browser asks for a part
MIN_RATE = 50_000  # bytes a second of a video that arrives
MAX_DISCARDED = 8  # largest pictures' worth of refused bytes that is read before the connection is cut


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: "PageServer"
    timeout = TIMEOUT

    def do_GET(self) -> None:
        self._guarded(self._get)

    def do_POST(self) -> None:
        self._guarded(self._post)

    def do_DELETE(self) -> None:
        self._guarded(self._delete)

    def _guarded(self, respond: Any) -> None:
        try:
            self._check_origin()
            respond()
        except _Refused as refusal:
            self._say(refusal.status, {"error": str(refusal)})
            self._discard()
        except FERError as error:
            self._say(HTTPStatus.BAD_REQUEST, {"error": f"This picture cannot be read: {error}."})
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:  # one picture must not end the page
            log.exception("a request failed")
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "Something went wrong; the terminal says what."})

    def _discard(self) -> None:
        """Read the rest: a browser whose connection ends while it still sends a picture never reads the answer."""
        self.close_connection = True
        deadline, room = time.monotonic() + TIMEOUT, MAX_DISCARDED * self.server.max_bytes
        try:
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(2)
            while room > 0 and time.monotonic() < deadline and (got := self.connection.recv(1 << 16)):
                room -= len(got)
        except OSError:
            pass

    def _check_origin(self) -> None:
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        if not self.server.is_own(_host_name(host)):
            raise _Refused(HTTPStatus.FORBIDDEN, "This page is not served under that name.")
        if origin is not None and _split(origin).netloc != host:
            raise _Refused(HTTPStatus.FORBIDDEN, "Only the page itself may send requests.")

    def _get(self) -> None:
        path = _split(self.path).path
        if path == "/about":
            facts = {"max_bytes": self.server.max_bytes, "privacy": PRIVACY}
            facts["most"] = (
                f"pictures up to {self.server.max_bytes / 1e6:g} megabytes each; videos up to "
                f"{self.server.max_video_bytes / 1e6:g}, of which the first {MAX_VIDEO_SECONDS / 60:g} minutes count"
            )
            self._say(HTTPStatus.OK, {**self.server.answers.about, **facts})
        elif path.startswith("/video/"):
            self._get_video(*path.removeprefix("/video/").partition("/")[::2])
        elif path in FILES:
            name, kind = FILES[path]
            self._send(HTTPStatus.OK, kind, files(__package__).joinpath(name).read_bytes())
        else:
            raise _Refused(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _get_video(self, name: str, file: str) -> None:
        state, path = self.server.videos.state(name), self.server.videos.file(name, file)
        if state is not None and not file:
            self._say(HTTPStatus.OK, state)
        elif path is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "There is nothing here, or no longer.")
        else:
            self._send_part(path, KINDS[file])

    def _delete(self) -> None:
        """Stop a video."""
        if not self.server.videos.stop(_split(self.path).path.removeprefix("/video/")):
            raise _Refused(HTTPStatus.NOT_FOUND, "There is nothing here, or no longer.")
        self._say(HTTPStatus.ACCEPTED, {})

    def _send_part(self, path: Path, kind: str) -> None:
        """A file, or the range of it that a browser asks for where someone moves through a video."""
        size, asked = path.stat().st_size, re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) if asked and asked[2] else size - 1, size - 1)
        end = min(end, start + MAX_PART - 1) if asked else end
        if start > end:
            raise _Refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "The file has no such part.")
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(end + 1 - start)
        ranged = {"Accept-Ranges": "bytes"} | ({"Content-Range": f"bytes {start}-{end}/{size}"} if asked else {})
        self._send(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK, kind, content, ranged)

    def _post_video(self) -> None:
        length, videos = self._length(self.server.max_video_bytes, "video"), self.server.videos
        if not videos.free.acquire(blocking=False):
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Another video is being predicted; try again later.")
        left, deadline, folder = length, time.monotonic() + MAX_SECONDS + length / MIN_RATE, None
        try:
            folder = videos.new_folder()
            with (folder / VIDEO).open("wb") as file:
                while left and (got := self.rfile.read1(min(left, 1 << 20))):
                    left -= file.write(got)
                    if time.monotonic() > deadline:
                        raise _Refused(HTTPStatus.REQUEST_TIMEOUT, "The video arrives too slowly.")
            if left:
                raise _Refused(HTTPStatus.BAD_REQUEST, "The video arrived in part only.")
        except BaseException:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            videos.free.release()
            raise
        self._say(HTTPStatus.ACCEPTED, {"name": videos.start(folder)})

    def _post(self) -> None:
        address = _split(self.path)
        if address.path not in ("/faces", "/video"):
            raise _Refused(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if self.headers.get_content_type() != PICTURE:
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send the picture file as {PICTURE}.")
        if address.path == "/video":
            return self._post_video()
        options = parse_qs(address.query, keep_blank_values=True)
        length = self._length(self.server.max_bytes, "picture")
        if not self.server.slots.acquire(blocking=False):
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Too many pictures at once; try again in a moment.")
        try:
            content = self._content(length)
            if len(content) < length:
                raise _Refused(HTTPStatus.BAD_REQUEST, "The picture arrived in part only.")
            with self.server.turn:
                answer = self.server.answers.faces(
                    content, "detector" if "camera" in options else "auto", maps="maps" in options
                )
        finally:
            self.server.slots.release()
        self._say(HTTPStatus.OK, answer)

    def _content(self, length: int) -> bytes:
        """The picture, or as much of it as comes; whoever sends drop by drop must not hold a place for hours."""
        content, deadline = bytearray(), time.monotonic() + MAX_SECONDS
        while len(content) < length and (got := self.rfile.read1(length - len(content))):
            content += got
            if time.monotonic() > deadline:
                raise _Refused(HTTPStatus.REQUEST_TIMEOUT, "The picture arrives too slowly.")
        return bytes(content)

    def _length(self, most: int, what: str) -> int:
        text = self.headers.get("Content-Length")
        if text is None or not (text.isascii() and text.isdigit()) or "Transfer-Encoding" in self.headers:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, f"Give the length of the {what}.")
        if len(text) > 12 or int(text) > most:
            line = f"This {what} has more than {most / 1e6:g} megabytes."
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, line)
        return int(text)

    def _say(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(content, allow_nan=False).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes, more: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            **HEADERS,
            **(more or {}),
            "Content-Type": kind,
            "Content-Length": str(len(content)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refusals of the standard library, in the same form as ours."""
        self._say(HTTPStatus(code), {"error": message or HTTPStatus(code).phrase})

    def version_string(self) -> str:
        return "fer"

    def log_message(self, format: str, *arguments: Any) -> None:
        log.debug(format, *arguments)


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        raise _Refused(HTTPStatus.BAD_REQUEST, "This is not an address.") from None


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
