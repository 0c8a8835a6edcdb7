"""Tiny data in the layouts that people have, made here: nothing is downloaded, nothing comes from a real set."""

import io
import logging
import os
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from omegaconf import DictConfig
from PIL import Image

from fer.console import ConsoleHandler
from tests.composing import composed

# Tests run side by side, on networks that are slower on several threads; what they start inherits it.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENCV_FOR_THREADS_NUM"] = "1"
# Compiled tests are kept, whatever the shell says: else each worker compiles them all, for seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# What takes seconds to import (PyTorch, …) is imported where it is used: xdist's own process runs no test.

# Modules that take longest, which begin first: no worker is left alone with one of them at the end.
LONGEST = (
    "training/test_resume.py",
    "test_contributing.py",
    "export/test_bundle.py",
    "sweeps/test_sweep.py",
    "training/test_ddp.py",
    "cli/test_mistakes.py",
    "export/test_export.py",
    "training/test_run.py",
    "cli/test_evaluate.py",
    "inference/test_video.py",
    "inference/test_video_copy.py",
    "cli/test_commands.py",
    "inference/test_classifier.py",
    "training/test_foreign_parts.py",
    "faces/test_detector.py",
    "test_notebook.py",
    "test_configs.py",
    "training/test_lr_finder.py",
)

Files = dict[str, bytes]

FER2013_FOLDERS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
FER2013_COUNTS = {"Training": 11, "PublicTest": 2, "PrivateTest": 3}  # pictures of each emotion
CKPLUS_FOLDERS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
CKPLUS_SUBJECTS = tuple(f"S{number:03d}" for number in (5, 10, 11, 14, 22, 26, 28, 29, 32, 34, 35, 37, 42, 50))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    order = {tests / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(autouse=True)
def no_console_log() -> Iterator[None]:
    """Commands that a test runs in this process leave their log on the console, where later tests would read it."""
    yield
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, ConsoleHandler)]:
        root.removeHandler(handler)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also where pytest was started in the background of a shell that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Fill a folder, once for all workers; only read it."""
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, unfinished = place / f"once_{name}", place / f"unfinished_{name}"
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                unfinished.mkdir()
                fill(unfinished)
                unfinished.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Make an encoded random picture; the same arguments give the same bytes."""

    def make(seed: int, shape: tuple[int, ...] = (48, 48), encoding: str = "PNG") -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, encoding)
        return content.getvalue()

    return make


@pytest.fixture(scope="session")
def decoded() -> Callable[[bytes], np.ndarray]:
    """Decode a grey picture as Pillow does."""
    return lambda content: np.asarray(Image.open(io.BytesIO(content)).convert("L"))


@pytest.fixture(scope="session")
def write_folder() -> Callable[[Path, Files], Path]:
    """Write files by relative path under a folder."""

    def write(folder: Path, files: Files) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder

    return write


@pytest.fixture(scope="session")
def write_zip() -> Callable[..., Path]:
    """Write files by relative path into a zip archive."""

    def write(path: Path, files: Files, compression: int = zipfile.ZIP_STORED) -> Path:
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    return write


@pytest.fixture(scope="session")
def fer2013_files(picture: Callable[..., bytes]) -> Files:
    """112 pictures in the folders of msambare/fer2013: both PublicTest and PrivateTest stand in `test/`."""
    files = {}
    for usage, count in FER2013_COUNTS.items():
        split = "train" if usage == "Training" else "test"
        for emotion in FER2013_FOLDERS:
            for _ in range(count):
                number = len(files) + 1
                files[f"{split}/{emotion}/{usage}_{number}.jpg"] = picture(number, encoding="JPEG")
    return files


@pytest.fixture(scope="session")
def ckplus_files(picture: Callable[..., bytes]) -> Files:
    """84 pictures in CK+48 folders: 14 subjects, two sequences of three frames each, seven emotions."""
    files = {}
    for position, subject in enumerate(CKPLUS_SUBJECTS):
        for sequence in (1, 2):
            emotion = CKPLUS_FOLDERS[(2 * position + sequence) % len(CKPLUS_FOLDERS)]
            for frame in (15, 16, 17):
                name = f"CK+48/{emotion}/{subject}_{sequence:03d}_{frame:08d}.png"
                files[name] = picture(1000 + len(files))
    return files


@pytest.fixture(scope="session")
def fer2013_zip(tmp_path_factory: pytest.TempPathFactory, fer2013_files: Files, write_zip: Callable[..., Path]) -> Path:
    return write_zip(tmp_path_factory.mktemp("download") / "fer2013.zip", fer2013_files)


@pytest.fixture(scope="session")
def fer2013_folder(
    tmp_path_factory: pytest.TempPathFactory, fer2013_files: Files, write_folder: Callable[..., Path]
) -> Path:
    return write_folder(tmp_path_factory.mktemp("download") / "fer2013", fer2013_files)


@pytest.fixture(scope="session")
def ckplus_zip(tmp_path_factory: pytest.TempPathFactory, ckplus_files: Files, write_zip: Callable[..., Path]) -> Path:
    return write_zip(tmp_path_factory.mktemp("download") / "ckplus48.zip", ckplus_files)


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory, fer2013_zip: Path, ckplus_zip: Path) -> Path:
    """A `data.root` with the packs `fer2013` and `ckplus`; only read it."""
    from fer.data.build_pack import build_pack

    root = tmp_path_factory.mktemp("packs")
    build_pack(root, "fer2013", str(fer2013_zip))
    build_pack(root, "ckplus", str(ckplus_zip))
    return root


SIDE_OF_FACE = 160  # of a drawn face within its picture, pixels
SPLIT_PREFIX = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fer.data.datasets.drawn import draw_faces

    folder = tmp_path_factory.mktemp("drawn")
    drawn = draw_faces("demo", faces=(210, 42, 42))
    for number, (image, emotion, split) in enumerate(zip(drawn.images, drawn.emotions, drawn.splits, strict=True)):
        target = folder / ("train" if split == "train" else "test") / emotion
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(target / f"{SPLIT_PREFIX[split]}_{number:08d}.png")
    return folder


# What costs every run as much as all the rest of it: counting free cores, and pictures that few tests look at
NOT_IN_EVERY_RUN = (
    "trainer.threads=1",
    *(f"callbacks.{name}=null" for name in ("schedule", "graph", "confusion_matrix", "sample_images")),
)


@pytest.fixture(scope="session")
def tiny_overrides(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides for a run of seconds: a small network, few images, fp32 on the CPU."""
    return [
        "data=fer2013",
        f"data.source={drawn_folder}",
        f"data.root={tmp_path_factory.mktemp('packs')}",
        "data.image_size=32",
        "data.batch_size=32",
        "model.backbone=test_resnet",
        "model.weights=none",
        "trainer=cpu",
        "trainer.precision=32-true",
        "trainer.max_epochs=3",
        "trainer.log_every_n_steps=1",
        "optimizer.lr=3e-3",
        "callbacks.progress=null",
        "augment=light",
        "figures=false",
        *NOT_IN_EVERY_RUN,
    ]


@pytest.fixture(scope="session")
def tiny_run(tiny_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on 210 drawn faces, 42 of validation and 42 of test; only read it, or a copy."""
    from fer.training.train import train

    folder = tmp_path_factory.mktemp("tiny") / "run"
    assert train(composed("train", *tiny_overrides), folder) is not None
    return folder


@pytest.fixture
def tiny_config(tiny_overrides: list[str]) -> Callable[..., DictConfig]:
    """Composes `conf/train.yaml` with the tiny overrides and more."""

    def make(*overrides: str) -> DictConfig:
        return composed("train", *tiny_overrides, *overrides)

    return make


@pytest.fixture(scope="session")
def seen_faces(once: Callable[..., Path]) -> list[np.ndarray]:
    """Eight drawn faces, uint8 [160, 160], that the detector sees wherever they stand."""
    return list(np.load(once("seen_faces", _draw_seen_faces) / "faces.npy"))


def _draw_seen_faces(folder: Path) -> None:
    import cv2

    from fer.data.datasets.drawn import draw_faces

    drawn = draw_faces("demo", faces=(24, 7, 7)).images[:24]
    large = (cv2.resize(image, (SIDE_OF_FACE, SIDE_OF_FACE), interpolation=cv2.INTER_CUBIC) for image in drawn)
    places = ((200, 100), (20, 30))
    seen = (face for face in large if whole(face) and all(whole(placed([(face, *place)])) for place in places))
    eight = np.stack(list(islice(seen, 8)))
    assert len(eight) == 8
    np.save(folder / "faces.npy", eight)


@pytest.fixture(scope="session")
def put_faces():
    """Put faces, uint8 [160, 160], at (left, top) on a plain picture, uint8 [height, width]."""
    return placed


def whole(picture: np.ndarray) -> bool:
    """Whether a face is seen, and not a part of one."""
    from fer.faces.detector import find_faces

    return any(box.side > 0.6 * SIDE_OF_FACE for box in find_faces(picture))


def placed(faces: list[tuple[np.ndarray, int, int]], width: int = 560, height: int = 360) -> np.ndarray:
    picture = np.full((height, width), int(np.median(faces[0][0][0])), dtype=np.uint8)
    for face, left, top in faces:
        picture[top : top + SIDE_OF_FACE, left : left + SIDE_OF_FACE] = face
    return picture


@pytest.fixture
def small(tmp_path: Path, write_folder: Callable[[Path, Files], Path], picture: Callable[..., bytes]) -> Path:
    """A folder of six pictures of two emotions."""
    files = {f"train/{emotion}/{n}.png": picture(n, (8, 8)) for n, emotion in enumerate(["happy", "sad"] * 3)}
    return write_folder(tmp_path / "small", files)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory, seen_faces: list[np.ndarray], put_faces: Callable) -> list[Path]:
    """Two faces in a photograph, also stored on its side, and in colour with transparency; a crop; no face; a strip."""
    folder = tmp_path_factory.mktemp("pictures")
    crowd = put_faces([(seen_faces[0], 30, 100), (seen_faces[1], 330, 80)])
    Image.fromarray(crowd).save(folder / "crowd.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.fromarray(np.rot90(crowd)).save(folder / "turned.jpg", exif=exif, quality=95)
    shades = np.stack([crowd // 2 + 90, crowd, crowd // 2 + 20, np.full_like(crowd, 200)], axis=2)
    Image.fromarray(shades).save(folder / "glass.png")
    Image.fromarray(seen_faces[2]).resize((60, 60)).save(folder / "crop.png")
    Image.fromarray(np.full((200, 300), 90, np.uint8)).save(folder / "empty.png")
    Image.fromarray(np.full((20, 300), 90, np.uint8)).save(folder / "strip.png")
    return sorted(folder.iterdir())
