"""Requests to the page's server, as a browser sends them."""

import http.client

from fer.inference.page.handler import PICTURE
from fer.inference.page.server import PageServer

MOST = 200_000  # bytes of a picture


def ask(
    server: PageServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    kind = {"Content-Type": PICTURE} if method == "POST" else {}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {**kind, **given})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content
