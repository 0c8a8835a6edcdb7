"""The same pixels, and the same photograph, are found again; other faces are not."""

import cv2
import numpy as np
import pytest

from fer.data.duplicates import (
    blank,
    exact_groups,
    groups_of_pairs,
    has_exact_duplicate,
    has_near_duplicate,
    signatures,
)
from fer.data.duplicates import near_pairs as some_pairs


def near_pairs(marks: np.ndarray) -> np.ndarray:
    return np.concatenate(list(some_pairs(marks)))


@pytest.fixture(scope="module")
def scenes() -> np.ndarray:
    """Smooth random pictures, as different at low frequencies as photographs are: uint8 [300, 48, 48]."""
    coarse = np.random.default_rng(0).normal(size=(300, 14, 14)).astype(np.float32)
    smooth = np.stack([cv2.resize(field, (48, 48), interpolation=cv2.INTER_CUBIC) for field in coarse])
    return np.clip(128 + 40 * smooth, 0, 255).astype(np.uint8)


CHANGES = {
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 1.5),
    "darker": lambda image: (image * 0.7).astype(np.uint8),
    "compressed": lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0),
    "noisy": lambda image: np.clip(image + np.random.default_rng(1).normal(0, 4, image.shape), 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("colour", [False, True])
def test_a_changed_copy_is_a_near_twin(change: str, colour: bool, scenes: np.ndarray) -> None:
    images = np.concatenate([scenes, np.stack([CHANGES[change](image) for image in scenes[:20]])])
    if colour:
        images = np.repeat(images[..., None], 3, axis=3)
    pairs = {tuple(pair) for pair in near_pairs(signatures(images)).tolist()}
    wanted = {(row, 300 + row) for row in range(20)}
    assert len(pairs & wanted) >= 19
    assert len(pairs - wanted) <= 1


def test_a_near_twin_is_found_among_given_rows_only(scenes: np.ndarray) -> None:
    images = np.concatenate([scenes, scenes[:3]])
    found = has_near_duplicate(signatures(images), np.array([300, 301, 302, 7]), np.array([0, 2, 7, 9]))
    assert found.tolist() == [True, False, True, True]
    assert has_near_duplicate(signatures(images), np.array([], dtype=int), np.array([0])).dtype == bool


def test_blocks_change_nothing(scenes: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.concatenate([scenes, scenes[:9]])
    whole = near_pairs(signatures(images))
    monkeypatch.setattr("fer.data.duplicates.BLOCK_SIZE", 7)
    assert sorted(map(tuple, near_pairs(signatures(images)))) == sorted(map(tuple, whole))


def test_twins_are_found_pixel_by_pixel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4), dtype=np.uint8)
    images[4] = images[0]
    images[5] = images[1]
    images[5, 0, 0] ^= 1
    found = has_exact_duplicate(images, np.array([3, 4, 5]), np.array([0, 1, 2]))
    assert found.tolist() == [False, True, False]
    assert has_exact_duplicate(images, np.array([], dtype=int), np.array([0])).dtype == bool
    assert exact_groups(images).tolist() == [0, 1, 2, 3, 0, 4]


def test_blank_images_are_nobodys_near_twins(scenes: np.ndarray) -> None:
    images = np.concatenate([scenes[:20], np.zeros((2, 48, 48), np.uint8), np.full((1, 48, 48), 200, np.uint8)])
    assert blank(images).tolist() == [False] * 20 + [True] * 3
    assert not np.isin(near_pairs(signatures(images)), [20, 21, 22]).any()


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_what_chains_of_pairs_connect(seed: int) -> None:
    generator = np.random.default_rng(seed)
    pairs = generator.integers(0, 60, (45, 2))
    reached = np.eye(60, dtype=bool)
    reached[pairs[:, 0], pairs[:, 1]] = reached[pairs[:, 1], pairs[:, 0]] = True
    for _ in range(6):
        reached = reached @ reached
    groups = groups_of_pairs(pairs, 60)
    assert np.array_equal(groups[:, None] == groups[None], reached)
