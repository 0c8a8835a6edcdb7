from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from fer.cli.app import CONF, register_resolvers
from fer.data.datasets.drawn import draw_faces
from fer.faces.detector import find_faces
from fer.inference.predictor import EmotionClassifier
from fer.training.train import train

SIDE = 160  # of a drawn face within its picture, pixels


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
def seen_faces() -> list[np.ndarray]:
    """Drawn faces, uint8 [160, 160], that the detector sees wherever they stand."""
    drawn = draw_faces("demo", faces=(24, 7, 7)).images[:24]
    large = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for image in drawn]
    places = ((200, 100), (20, 30))
    seen = [face for face in large if whole(face) and all(whole(placed([(face, *place)])) for place in places)]
    assert len(seen) >= 6
    return seen


@pytest.fixture(scope="package")
def put_faces():
    """Put faces, uint8 [160, 160], at (left, top) on a plain picture, uint8 [height, width]."""
    return placed


def whole(picture: np.ndarray) -> bool:
    """Whether a face is seen, and not a part of one."""
    return any(box.side > 0.6 * SIDE for box in find_faces(picture))


def placed(faces: list[tuple[np.ndarray, int, int]], width: int = 560, height: int = 360) -> np.ndarray:
    picture = np.full((height, width), int(np.median(faces[0][0][0])), dtype=np.uint8)
    for face, left, top in faces:
        picture[top : top + SIDE, left : left + SIDE] = face
    return picture
