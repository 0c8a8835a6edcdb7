import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from fer.cli.app import CONF, register_resolvers
from fer.evaluation.trained_model import load_trained
from fer.inference.page.answer import Answers
from fer.inference.page.server import PageServer
from fer.inference.predictor import EmotionClassifier
from fer.training.train import train
from tests.inference.clips import write_clip
from tests.inference.page_requests import MOST


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Networks of these sizes are slower on several threads, and far slower where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="package")
def trained_run(tiny_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run folder of one epoch; only read it."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*tiny_overrides, "trainer.max_epochs=1"])
    folder = tmp_path_factory.mktemp("run")
    train(cfg, folder)
    return folder


@pytest.fixture(scope="package")
def classifier(trained_run: Path) -> EmotionClassifier:
    return EmotionClassifier.load(trained_run, device="cpu")


@pytest.fixture(scope="package")
def clip(tmp_path_factory: pytest.TempPathFactory, seen_faces: list[np.ndarray], put_faces) -> Path:
    """Two seconds at 10 frames a second: two faces that wander."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    pictures = [
        put_faces([(seen_faces[0], 20 + number, 30), (seen_faces[1], 360, 120 - number)]) for number in range(20)
    ]
    return write_clip(path, pictures, 10)


@pytest.fixture(scope="package")
def server(trained_run: Path) -> Iterator[PageServer]:
    with PageServer(Answers(load_trained(trained_run), "cpu"), "127.0.0.1", 0, MOST) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()
