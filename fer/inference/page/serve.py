"""The command that serves the page until it is interrupted."""

import logging

from omegaconf import DictConfig

from fer.errors import ConfigError
from fer.evaluation.trained_model import load_trained
from fer.inference.page.answer import Answers
from fer.inference.page.server import PageServer, is_local

log = logging.getLogger(__name__)


def serve(
    checkpoint: str | None,
    host: str = "127.0.0.1",
    port: int = 8080,
    upload_megabytes: float = 12,
    device: str = "auto",
    own_network: DictConfig | None = None,
) -> None:
    """Serve a page to try a model on pictures and the camera; Ctrl-C ends it.

    Args:
        checkpoint: a run folder (its best checkpoint) or a checkpoint.
        host: address to bind to; any but this machine's own opens the page to the network.
        port: 0 takes any free one.
        upload_megabytes: most of a picture file.
        device: `auto`, `cpu`, `cuda`, ….
        own_network: config of the network, where it is not one of timm's.

    Raises:
        FERError: no such checkpoint or device, an address that cannot be bound.
    """
    if checkpoint is None:
        raise ConfigError("say which model to try: checkpoint=RUN_OR_CKPT (a run folder, or a checkpoint)")
    if not upload_megabytes > 0:
        raise ConfigError(f"upload_megabytes={upload_megabytes}: give a number over 0")
    answers = Answers(load_trained(checkpoint, own_network), device)
    with PageServer(answers, host, port, int(upload_megabytes * 1e6)) as server:
        if not is_local(host):
            log.warning("host=%s: whoever reaches this machine can use the page; nothing is encrypted", host)
        log.info("%s shows the page; Ctrl-C ends it", server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            log.info("ended")
