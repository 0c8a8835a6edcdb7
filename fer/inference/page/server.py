"""The page's server, for this machine unless it is opened to others: nothing is sent elsewhere, no picture written."""

import logging
import socket
import sys
import threading
from http.server import ThreadingHTTPServer
from ipaddress import ip_address
from socketserver import TCPServer
from typing import Any

from omegaconf import DictConfig

from fer.errors import ConfigError
from fer.evaluation.trained_model import load_trained
from fer.inference.page.answer import Answers
from fer.inference.page.handler import Handler
from fer.inference.page.videos import Videos
from fer.models.shipped import DEFAULT

log = logging.getLogger(__name__)

LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
MAX_CONCURRENT = 4  # pictures in memory at a time; one of them goes through the model


def serve(
    checkpoint: str | None,
    host: str = "127.0.0.1",
    port: int = 8080,
    upload_megabytes: float = 12,
    device: str = "auto",
    own_network: DictConfig | None = None,
    video_megabytes: float = 200,
) -> None:
    """Serve a page to try a model on pictures and the camera; Ctrl-C ends it.

    Args:
        checkpoint: see `fer.evaluation.trained_model.load_trained`; None is the model that ships.
        host: address to bind to; any but this machine's own opens the page to the network.
        port: 0 takes any free one.
        upload_megabytes: most of a picture file.
        device: `auto`, `cpu`, `cuda`, ….
        own_network: config of the network, where it is not one of timm's.
        video_megabytes: most of a video file.

    Raises:
        FERError: no such checkpoint or device, an address that cannot be bound.
    """
    if not upload_megabytes > 0:
        raise ConfigError(f"upload_megabytes={upload_megabytes}: give a number over 0")
    answers = Answers(load_trained(checkpoint or DEFAULT, own_network), device)
    with PageServer(answers, host, port, int(upload_megabytes * 1e6), int(video_megabytes * 1e6)) as server:
        if not is_local(host):
            log.warning("host=%s: whoever reaches this machine can use the page; nothing is encrypted", host)
        log.info("%s shows the page; Ctrl-C ends it", server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            log.info("ended")
        finally:
            server.videos.close()


class PageServer(ThreadingHTTPServer):
    """Serves the page; one picture goes through the model at a time.

    Args:
        answers: of the model.
        host: address to bind to.
        port: 0 takes any free one.
        max_bytes: of a picture file.
        max_video_bytes: of a video file.

    Raises:
        ConfigError: the address cannot be bound.
    """

    daemon_threads = True
    request_queue_size = 128  # connections that wait to be taken, as of a class that opens the page at once

    def __init__(
        self, answers: Answers, host: str, port: int, max_bytes: int, max_video_bytes: int = 200_000_000
    ) -> None:
        self.answers, self.host, self.max_bytes, self.max_video_bytes = answers, host, max_bytes, max_video_bytes
        self.slots, self.turn = threading.BoundedSemaphore(MAX_CONCURRENT), threading.Lock()
        self.videos = Videos(answers.classifier, self.turn)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"host={host} port={port}: {reason}; port=0 takes any free port") from error

    def server_bind(self) -> None:
        """Bind without looking up the host's name, as the standard library does: the request may leave the machine."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    def handle_error(self, request: Any, address: Any) -> None:
        """Say what went wrong, but for those who left before they were answered."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            log.exception("a request failed")

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.server_port}"

    def is_own(self, name: str | None) -> bool:
        """Whether a host name may be this server's; any, where it was opened to the network on purpose."""
        return not is_local(self.host) or name in {*LOCAL_NAMES, self.host}


def is_local(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
