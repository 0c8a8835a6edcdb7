"""The same pixels, and the same photograph, are found again; other faces are not."""

import resource
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer.data.duplicates import blank, exact_groups, groups_of_pairs, has_exact_duplicate, pairs_of_groups
from fer.data.near_duplicates import photograph_groups
from fer.data.pack import PHOTOGRAPHS, Pack, open_pack
from fer.data.photographs import Photographs


def grouped(images: np.ndarray, splits: np.ndarray | None = None) -> np.ndarray:
    splits = np.full(len(images), "all") if splits is None else splits
    return Photographs(images).groups(pairs_of_groups(exact_groups(images)), splits)


@pytest.fixture(scope="module")
def scenes() -> np.ndarray:
    """Smooth random pictures, as different at low frequencies as photographs are: uint8 [300, 48, 48]."""
    coarse = np.random.default_rng(0).normal(size=(300, 14, 14)).astype(np.float32)
    smooth = np.stack([cv2.resize(field, (48, 48), interpolation=cv2.INTER_CUBIC) for field in coarse])
    return np.clip(128 + 40 * smooth, 0, 255).astype(np.uint8)


def moved(image: np.ndarray, dx: float = 0, dy: float = 0, zoom: float = 1, degrees: float = 0, **border) -> np.ndarray:
    affine = cv2.getRotationMatrix2D((23.5, 23.5), degrees, zoom)
    affine[:, 2] += (dx, dy)
    border = border or {"borderMode": cv2.BORDER_REPLICATE}
    return cv2.warpAffine(image, affine, (48, 48), flags=cv2.INTER_LINEAR, **border)


def compressed(image: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0)


def noisy(image: np.ndarray) -> np.ndarray:
    return np.clip(image + np.random.default_rng(1).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


BLACK = {"borderMode": cv2.BORDER_CONSTANT}
CHANGES = {
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 1.5),
    "darker": lambda image: (image * 0.7).astype(np.uint8),
    "compressed": compressed,
    "noisy": noisy,
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "moved by 1": lambda image: moved(image, 1, -1),
    "moved by 4": lambda image: moved(image, -4, 4),
    "moved, black border": lambda image: moved(image, -4, 4, **BLACK),
    "moved by half pixels": lambda image: moved(image, 2.5, 1.5),
    "smaller": lambda image: moved(image, zoom=0.9),
    "smaller, black border": lambda image: moved(image, zoom=0.9, **BLACK),
    "a little larger": lambda image: moved(image, zoom=1.05),
    "larger": lambda image: moved(image, zoom=1.1),
    "turned": lambda image: moved(image, degrees=5),
    "turned back": lambda image: moved(image, degrees=-5),
    "mirrored, moved, larger": lambda image: moved(np.ascontiguousarray(image[:, ::-1]), 2, 1, zoom=1.04),
}


def test_a_changed_copy_is_found_and_no_other(scenes: np.ndarray) -> None:
    """Of each change 95 % and more, of 300 others no more than 1 % falsely."""
    copies = [CHANGES[change](scenes[row]) for change in CHANGES for row in range(20)]
    groups = grouped(np.concatenate([scenes, np.stack(copies)]))
    of_copies = groups[300:].reshape(len(CHANGES), 20)
    found = dict(zip(CHANGES, (of_copies == groups[:20]).mean(axis=1), strict=True))
    assert min(found.values()) >= 0.95, found
    sizes = np.unique(groups[20:300], return_counts=True)[1]
    assert sizes[sizes > 1].sum() <= 3
    assert not np.isin(groups[20:300], groups[:20]).any()


@pytest.mark.parametrize("change", ["compressed", "mirrored", "moved by 1"])
def test_colour_and_other_sizes_are_compared_too(change: str, scenes: np.ndarray) -> None:
    copies = np.stack([CHANGES[change](image) for image in scenes[:10]])
    images = np.stack([cv2.resize(image, (72, 64)) for image in np.concatenate([scenes, copies])])
    groups = grouped(np.repeat(images[..., None], 3, axis=3))
    assert (groups[300:] == groups[:10]).all()


def test_a_copy_is_found_across_splits(scenes: np.ndarray) -> None:
    images = np.concatenate([scenes, scenes[:3, :, ::-1]])
    groups = grouped(images, np.repeat(["train", "val", "test"], [200, 100, 3]))
    assert (groups[300:] == groups[:3]).all()


def alike(scene: np.ndarray, count: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.stack([np.clip(scene + generator.normal(0, 2, (48, 48)), 0, 255).astype(np.uint8) for _ in range(count)])


def test_frames_that_are_all_alike_take_time_and_memory_by_their_number(scenes: np.ndarray) -> None:
    """Pairs would grow with the square; each image is linked to a few others."""
    took = {}
    for count in (200, 800):
        frames, start = alike(scenes[0], count), time.process_time()
        assert len(np.unique(grouped(frames))) == 1
        took[count] = time.process_time() - start
    assert took[800] < 8 * took[200]


@pytest.mark.slow
def test_12000_frames_alike_stay_within_a_gigabyte(scenes: np.ndarray) -> None:
    assert len(np.unique(grouped(alike(scenes[0], 12_000)))) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1e6  # kB, with all that a test session holds


def test_groups_are_kept_beside_the_pack(data_root: Path, tmp_path: Path) -> None:
    pack = replace(open_pack(data_root / "ckplus"), folder=tmp_path)
    groups = photograph_groups(pack)
    with np.load(tmp_path / PHOTOGRAPHS) as kept:
        assert np.array_equal(kept["groups"], groups)
        changed = {**kept, "groups": np.zeros(len(pack), dtype=np.int64)}
    np.savez(tmp_path / PHOTOGRAPHS, **changed)
    assert np.array_equal(photograph_groups(pack), changed["groups"])  # read, not found anew
    other = {**pack.manifest, "sha256": {**pack.manifest["sha256"], "images.npy": "another"}}
    assert np.array_equal(photograph_groups(replace(pack, manifest=other)), groups)
    (tmp_path / PHOTOGRAPHS).write_bytes(b"damaged")
    assert np.array_equal(photograph_groups(pack), groups)


def test_drawn_faces_are_no_photographs(tmp_path: Path) -> None:
    manifest = {"source": {"path": "drawn:demo"}}
    images = np.repeat(np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8), 2, axis=0)
    pack = Pack(tmp_path, images, *(np.array(["x"] * 6) for _ in range(4)), manifest)
    assert photograph_groups(pack).tolist() == [0, 0, 1, 1, 2, 2]
    assert not (tmp_path / PHOTOGRAPHS).exists()


def test_of_too_many_images_only_the_same_pixels_are_looked_for(
    scenes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    images = np.concatenate([scenes[:20], scenes[:2], np.roll(scenes[5:6], 1, axis=2)])
    manifest = {"source": {"path": "photographs"}, "sha256": {"images.npy": "0"}}
    pack = Pack(tmp_path, images, *(np.array(["all"] * len(images)) for _ in range(4)), manifest)
    monkeypatch.setattr("fer.data.near_duplicates.MOST_SEARCHED", 22)
    groups = photograph_groups(pack)
    assert (groups[20], groups[21]) == (groups[0], groups[1])
    assert groups[22] != groups[5]
    assert "23 images, more than the 22" in caplog.text
    assert not (tmp_path / PHOTOGRAPHS).exists()  # a later version may look further
    monkeypatch.setattr("fer.data.near_duplicates.MOST_SEARCHED", 23)
    groups = photograph_groups(pack)
    assert groups[22] == groups[5]


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
    groups = grouped(images)
    assert groups[20] == groups[21]  # the same pixels
    assert len(np.unique(groups)) == 22


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
