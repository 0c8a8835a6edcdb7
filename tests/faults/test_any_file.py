"""Damaged pictures, checkpoints and tables of runs, and names that any system allows: read, or refused in one line."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image

from fer.cli.app import CONF
from fer.cli.arguments import understood
from fer.errors import CheckpointError, FERError, PictureError, RunError
from fer.faces.pictures import MAX_PIXELS, decode_picture
from fer.models.weights import read_checkpoint
from fer.runs.folder import RunFolder
from tests.generated import checking

DAMAGE = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6)  # place, and the byte put there
CUT = st.none() | st.integers(0, 1 << 20)


def damaged(content: bytes, damage: list[tuple[int, int]], cut: int | None) -> bytes:
    changed = bytearray(content)
    for place, byte in damage:
        changed[place % len(changed)] = byte
    return bytes(changed if cut is None else changed[: cut % (len(changed) + 1)])


def encoded(form: str, mode: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels, "RGBA").convert("RGB").convert(mode).save(content, form)
    return content.getvalue()


PICTURES = [
    *(encoded("PNG", mode) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(encoded("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(encoded(form, "RGB") for form in ("GIF", "BMP", "TIFF", "WEBP", "PPM")),
]


def any_picture(content: bytes, damage: list[tuple[int, int]], cut: int | None) -> None:
    try:
        pixels = decode_picture(damaged(content, damage, cut))
    except PictureError as error:
        assert str(error)
        assert "\n" not in str(error)
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 2 or pixels.shape[2] == 3
    assert 0 < pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS


def checkpoint() -> bytes:
    content = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.ones(3)}, "fer": {"classes": ["happy"]}, "epoch": 1}, content)
    return content.getvalue()


CHECKPOINT = checkpoint()


def any_checkpoint(damage: list[tuple[int, int]], cut: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "best.ckpt")
        path.write_bytes(damaged(CHECKPOINT, damage, cut))
        try:
            assert isinstance(read_checkpoint(path), dict)
        except CheckpointError as error:
            assert "\n" not in str(error)


PREDICTIONS = b"name,label,predicted,loss,happy,sad\na.png,happy,happy,0.1,0.9,0.1\nb.png,sad,happy,1.2,0.7,0.3\n"
METRICS = b'{"test/accuracy": 0.5, "test/accuracy_ci95": [0.1, 0.9], "best_epoch": 3}'
CONFIG = b"model: {backbone: resnet18}\ndata: {name: demo}\nseed: 0\n"


def any_run(damage: list[tuple[int, int]], cut: int | None) -> None:
    with tempfile.TemporaryDirectory() as place:
        run = RunFolder(place)
        files = {run.predictions_file: PREDICTIONS, run.metrics_file: METRICS, run.config_file: CONFIG}
        for file, content in files.items():
            file.write_bytes(damaged(content, damage, cut))
        for read in (run.read_predictions, run.read_metrics, run.read_config):
            try:
                read()
            except RunError as error:
                assert "\n" not in str(error)


NAMES = st.text(st.sampled_from("ab1.~+-=,:;'\"()[]{}$\\%!?*#&|<>@^` \tüф日"), min_size=1, max_size=12) | st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=12
)


def any_name(name: str) -> None:
    """A file that exists is taken by its name; a name in quotes, `null`, `???` and `~…` mean something else."""
    if (
        name in (".", "..", "???")
        or name.lower() == "null"
        or (len(name) > 1 and name[0] in "'\"" and name[0] == name[-1])
    ):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{name}"
        with open(path, "w"):
            pass
        before = os.getcwd()
        os.chdir(folder)
        try:
            for given_as in (path, name):
                [word] = understood([f"input={given_as}"], "predict", CONF)
                config = OmegaConf.create({"input": None})
                value = OverridesParser.create().parse_override(word).value()
                OmegaConf.update(config, "input", getattr(value, "text", value))
                assert config.input == given_as
        finally:
            os.chdir(before)


@pytest.mark.parametrize("name", ["${x}.png", "\\${", "\\\\${x}", "a\\${b}\\", "'${", "${a", "x\\"])
def test_names_with_what_would_be_interpolated(name: str) -> None:
    any_name(name)


def any_words(words: list[str]) -> None:
    try:
        understood(words, "train", CONF)
    except FERError as error:
        assert str(error)


WORDS = st.lists(
    st.text("ab1.~+-=,:'\"()[]{}$\\ ", max_size=10)
    | st.sampled_from(
        ["seed=1", "data=fer2013", "-m", "--cfg", "job", "+x={a:1}", "~model", "trainer.max_epochs=", "="]
    ),
    max_size=4,
)
PROPERTIES = {
    "picture": (any_picture, (st.sampled_from(PICTURES), DAMAGE, CUT)),
    "checkpoint": (any_checkpoint, (DAMAGE, CUT)),
    "run": (any_run, (DAMAGE, CUT)),
    "name": (any_name, (NAMES,)),
    "words": (any_words, (WORDS,)),
}

test_generated_cases = checking(PROPERTIES)
