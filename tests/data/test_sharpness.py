"""Splits of unequal sharpness are told by their spectra and brought to the same."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from fer.data.datamodule import FERDataModule
from fer.data.datasets.drawn import draw_faces
from fer.data.pack import open_pack
from fer.data.prepare import prepare
from fer.data.sharpness import match_sharpness, measure_blur, spectrum
from fer.errors import DataError


def scenes(count: int, seed: int) -> np.ndarray:
    """Pictures whose power falls with frequency as that of photographs does: uint8 [N, 48, 48]."""
    generator = np.random.default_rng(seed)
    axis = np.fft.fftfreq(96)
    frequency = np.hypot(axis[:, None], axis)
    frequency[0, 0] = 1 / 96
    noise = np.fft.fft2(generator.normal(size=(count, 96, 96)))
    pictures = np.fft.ifft2(noise / frequency).real[:, :48, :48]
    pictures = (pictures - pictures.mean()) / pictures.std()
    return (128 + 45 * pictures).round().clip(0, 255).astype(np.uint8)


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    smooth = gaussian_filter(images.astype(float), (0, sigma, sigma), mode="reflect")
    return smooth.round().clip(0, 255).astype(np.uint8)


SPLITS = np.array(["train"] * 600 + ["val"] * 200 + ["test"] * 200)


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    return scenes(1000, seed=1)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.2])
def test_the_blur_of_a_split_is_measured_in_pixels(sharp: np.ndarray, sigma: float) -> None:
    images = np.where((SPLITS == "train")[:, None, None], blurred(sharp, sigma), sharp)
    blur = measure_blur(images, SPLITS)
    assert blur is not None
    assert blur.sigma["train"] == pytest.approx(sigma, rel=0.05)
    assert max(blur.sigma["val"], blur.sigma["test"]) < 0.3


def test_what_was_blurred_is_restored_and_the_rest_shows_no_more(sharp: np.ndarray) -> None:
    images = np.where((SPLITS == "train")[:, None, None], blurred(sharp, 2.0), sharp)
    before = spectrum(images[SPLITS == "train"]) / spectrum(images[SPLITS == "test"])
    done = match_sharpness(images, SPLITS)
    assert done is not None
    assert 16 <= done["sharp_side"] < 48
    power = {split: spectrum(images[split == SPLITS]) for split in ("train", "val", "test")}
    kept = slice(2, done["sharp_side"] // 2)
    assert before[kept].min() < 0.3  # so that the next lines can fail
    np.testing.assert_allclose(power["train"][kept] / power["test"][kept], 1, atol=0.35)
    original = spectrum(sharp[SPLITS == "train"])
    assert (power["train"][2:6] / original[2:6]).min() > 0.7
    assert power["test"][20] < 0.05 * original[20]
    assert match_sharpness(images, SPLITS) is None  # there is nothing left to do


def test_equal_splits_keep_every_pixel(sharp: np.ndarray) -> None:
    images = sharp.copy()
    assert match_sharpness(images, SPLITS) is None
    np.testing.assert_array_equal(images, sharp)


def test_colours_are_filtered_each(sharp: np.ndarray) -> None:
    colour = np.stack([sharp, 255 - sharp, sharp], axis=3)
    colour = np.where(
        (SPLITS == "train")[:, None, None, None],
        np.stack([blurred(c, 2.0) for c in np.moveaxis(colour, 3, 0)], axis=3),
        colour,
    )
    assert match_sharpness(colour, SPLITS) is not None
    faces = colour[SPLITS == "train"].astype(int)
    assert np.abs(faces[..., 0] + faces[..., 1] - 255).mean() < 2  # a negative stays one


@pytest.mark.parametrize("shape", [(9, 8, 8), (9, 48, 40)])
def test_images_without_a_spectrum_are_left(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert match_sharpness(images, np.array(["train", "val", "test"] * 3)) is None
    assert measure_blur(images, np.full(9, "train")) is None


def test_prepare_packs_a_damaged_copy_in_a_pack_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = draw_faces("demo", faces=(140, 70, 70))
    for index, (image, emotion, split) in enumerate(zip(drawn.images, drawn.emotions, drawn.splits, strict=True)):
        folder = tmp_path / "damaged" / split / emotion
        folder.mkdir(parents=True, exist_ok=True)
        picture = blurred(image[None], 3.0)[0] if split == "train" else image
        Image.fromarray(picture).save(folder / f"{index}.png")
    options = {"source": str(tmp_path / "damaged"), "root": str(tmp_path)}
    prepare("plain", store_size=48, **options)
    prepare("matched", store_size=48, match_sharpness=True, **options)
    assert "sharpness matched" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "matched" / "manifest.json").read_text())
    assert manifest["sharpness"]["sigma"]["train"] == pytest.approx(3.0, rel=0.2)
    assert len(open_pack(tmp_path / "matched")) == 280  # its digests hold
    data = FERDataModule("matched", root=str(tmp_path), match_sharpness=True)
    data.setup()
    assert data.stored_size == manifest["sharpness"]["sharp_side"]
    assert data.image_size == 48
    with pytest.raises(DataError, match=r"made without data\.match_sharpness=true"):
        FERDataModule("plain", root=str(tmp_path), match_sharpness=True).prepare_data()
    with pytest.raises(DataError, match=r"made with data\.match_sharpness=true, data\.match_sharpness=false is"):
        FERDataModule("matched", root=str(tmp_path)).prepare_data()
