"""The page's server: a few fixed files, one question. No request leaves the machine, no picture is written anywhere.

Whatever web page is open in the same browser can send requests to this machine, too. They are answered only where
the browser says that they come from the page itself (Origin, Host), and pictures only with a content type that other
origins may not send unasked.
"""

import json
import logging
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from ipaddress import ip_address
from socketserver import TCPServer
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from fer.errors import ConfigError, FERError
from fer.inference.page.answer import Answers

log = logging.getLogger(__name__)

PICTURE = "application/octet-stream"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
PATIENCE = 20  # seconds that a connection may stay silent
LINGERS = 8  # times the largest picture is read of what was refused, before the connection is cut
AT_ONCE = 4  # pictures that are held at a time; one of them is being looked at


class PageServer(ThreadingHTTPServer):
    """Serves the page; one picture goes through the model at a time.

    Args:
        answers: of the model.
        host: address to bind to.
        port: 0 takes any free one.
        most_bytes: of a picture file.

    Raises:
        ConfigError: the address cannot be bound.
    """

    daemon_threads = True

    def __init__(self, answers: Answers, host: str, port: int, most_bytes: int) -> None:
        self.answers, self.host, self.most_bytes = answers, host, most_bytes
        self.slots, self.turn = threading.BoundedSemaphore(AT_ONCE), threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"host={host} port={port}: {reason}; port=0 takes any free port") from error

    def server_bind(self) -> None:
        """Without the look-up of the host's name that the standard library does, which may leave the machine."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.server_port}"

    def is_own(self, name: str | None) -> bool:
        """Whether a host name may be this server's; any, where it was opened to the network on purpose."""
        return not is_local(self.host) or name in {*LOCAL_NAMES, self.host}


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = PATIENCE

    def do_GET(self) -> None:
        self._guarded(self._get)

    def do_POST(self) -> None:
        self._guarded(self._post)

    def _guarded(self, respond: Any) -> None:
        try:
            self._check_origin()
            respond()
        except _Refused as refusal:
            self._say(refusal.status, {"error": str(refusal)})
            self._linger()
        except FERError as error:
            self._say(HTTPStatus.BAD_REQUEST, {"error": f"This picture cannot be read: {error}."})
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:  # one picture must not end the page
            log.exception("a request failed")
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "Something went wrong; the terminal says what."})

    def _linger(self) -> None:
        """Let the sender finish: where a connection ends while a picture is still coming, nobody reads the answer."""
        self.close_connection = True
        until, room = time.monotonic() + PATIENCE, LINGERS * self.server.most_bytes
        try:
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(2)
            while room > 0 and time.monotonic() < until and (got := self.connection.recv(1 << 16)):
                room -= len(got)
        except OSError:
            pass

    def _check_origin(self) -> None:
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        if not self.server.is_own(_host_name(host)):
            raise _Refused(HTTPStatus.FORBIDDEN, "This page is not served under that name.")
        if origin is not None and _split(origin).netloc != host:
            raise _Refused(HTTPStatus.FORBIDDEN, "Only the page itself may ask.")

    def _get(self) -> None:
        path = _split(self.path).path
        if path == "/about":
            self._say(HTTPStatus.OK, {**self.server.answers.about, "most_bytes": self.server.most_bytes})
        elif path in FILES:
            name, kind = FILES[path]
            self._send(HTTPStatus.OK, kind, files(__package__).joinpath(name).read_bytes())
        else:
            raise _Refused(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _post(self) -> None:
        address = _split(self.path)
        if address.path != "/faces":
            raise _Refused(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if self.headers.get_content_type() != PICTURE:
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send the picture file as {PICTURE}.")
        options = parse_qs(address.query, keep_blank_values=True)
        length = self._length()
        if not self.server.slots.acquire(blocking=False):
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Too many pictures at once; try again in a moment.")
        try:
            content = self.rfile.read(length)
            if len(content) < length:
                raise _Refused(HTTPStatus.BAD_REQUEST, "The picture arrived in part only.")
            with self.server.turn:
                answer = self.server.answers.faces(
                    content, "all" if "camera" in options else "auto", maps="maps" in options
                )
        finally:
            self.server.slots.release()
        self._say(HTTPStatus.OK, answer)

    def _length(self) -> int:
        text = self.headers.get("Content-Length")
        if text is None or not (text.isascii() and text.isdigit()) or "Transfer-Encoding" in self.headers:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "Say how long the picture is.")
        if len(text) > 12 or int(text) > self.server.most_bytes:
            most = self.server.most_bytes / 1e6
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"This picture has more than {most:g} megabytes.")
        return int(text)

    def _say(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(content, allow_nan=False).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library itself refuses, told as everything else is."""
        self._say(HTTPStatus(code), {"error": message or HTTPStatus(code).phrase})

    def version_string(self) -> str:
        return "fer"

    def log_message(self, format: str, *arguments: Any) -> None:
        log.debug(format, *arguments)


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        raise _Refused(HTTPStatus.BAD_REQUEST, "That is no address.") from None


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def is_local(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
