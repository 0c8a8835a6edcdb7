"""The audit counts the leaks that were put into a data set, prepare tells of them, drop_leaks takes them out."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fer.cli.prepare import prepare
from fer.data.audit import audit_pack, sharpness
from fer.data.build_pack import ensure_pack
from fer.data.datamodule import FERDataModule
from fer.data.datasets.drawn import draw_faces
from fer.data.pack import PHOTOGRAPHS, open_pack
from fer.errors import ConfigError

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.fixture(scope="module")
def leaky_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise pictures as a FER2013 table: 60 train, 20 val, 20 test, then known twins and two blank images."""
    images = np.random.default_rng(0).integers(0, 256, (100, 12, 12), dtype=np.uint8)
    usages = ["Training"] * 60 + ["PublicTest"] * 20 + ["PrivateTest"] * 20
    labels = [index % 7 for index in range(100)]
    rows = list(zip(labels, images, usages, strict=True))
    rows.append((labels[0], images[0], "Training"))  # a twin within training
    rows.append(((labels[1] + 1) % 7, images[1], "Training"))  # one with another label
    rows.append((labels[2], images[2], "PublicTest"))  # a validation image that stands in training
    rows += [(labels[80], images[80], "Training"), (labels[81], images[81], "Training")]  # test images that do
    rows.append((labels[82], images[82], "PublicTest"))  # a test image that stands in validation
    rows.append((labels[83], np.clip(images[83] * 0.8, 0, 255).astype(np.uint8), "Training"))  # darker: near only
    rows += [(3, np.full((12, 12), shade, np.uint8), "Training") for shade in (0, 90)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["emotion", "pixels", "Usage"])
    writer.writerows((label, " ".join(map(str, image.ravel())), usage) for label, image, usage in rows)
    path = tmp_path_factory.mktemp("leaky") / "fer2013.csv"
    path.write_text(text.getvalue())
    return path


def test_the_audit_counts_what_was_put_in(leaky_table: Path, tmp_path: Path) -> None:
    audit = audit_pack(open_pack(ensure_pack(tmp_path, "leaky", str(leaky_table))))
    expected = {
        "groups": 6,
        "images": 12,
        "conflicting_groups": 1,
        "val_in_train": 1,
        "test_in_train": 2,
        "test_in_val": 1,
    }
    assert audit.numbers["exact"] == expected
    assert audit.numbers["near"] == expected | {"groups": 7, "images": 14, "test_in_train": 3}
    assert audit.numbers["blank"] == 2
    assert audit.numbers["subjects_on_both_sides"] == 0
    assert len(audit.pairs) == 6  # five across splits (one of them near), one with two labels


def test_the_audit_of_many_alike_frames_holds_few_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their pairs are as many as the square of a recording's frames; blocks and limits change no number."""
    generator = np.random.default_rng(0)
    scene = generator.integers(0, 256, (2, 24, 24)).repeat(60, axis=0)
    images = np.clip(scene + generator.normal(0, 2, scene.shape), 0, 255).astype(np.uint8)
    (tmp_path / "source").mkdir()
    for number, image in enumerate(images):
        folder = tmp_path / "source" / ("train", "test")[number % 2] / ("happy", "sad")[number % 3 == 0]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    pack = open_pack(ensure_pack(tmp_path, "frames", str(tmp_path / "source")))
    whole = audit_pack(pack)
    assert whole.numbers["near"]["groups"] == 2
    assert whole.numbers["near"]["test_in_train"] == 60
    assert 50 < len(whole.pairs) < len(pack)
    monkeypatch.setattr("fer.data.photographs.BLOCK", 16)
    (pack.folder / PHOTOGRAPHS).unlink()
    assert audit_pack(pack).numbers == whole.numbers


def test_prepare_tells_and_writes(leaky_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # a pack with its audit beside it may be remade
        prepare("leaky", str(leaky_table), str(tmp_path), 48)
    shown = capsys.readouterr().out
    assert "test images with a duplicate in training" in shown
    assert "drop_leaks" in shown
    assert json.loads((tmp_path / "leaky" / "audit.json").read_text())["exact"]["test_in_train"] == 2
    assert (tmp_path / "leaky" / "duplicates.png").stat().st_size > 1000
    assert len(open_pack(tmp_path / "leaky")) == 109


def test_prepare_names_what_it_left(
    tmp_path: Path, write_folder: Callable[..., Path], picture: Callable[..., bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"happy/{i}.png": picture(i) for i in range(3)} | {f"sad/{i}.png": picture(9 + i) for i in range(3)}
    files |= {f"sad/bad{i}.png": b"no picture" for i in range(5)}
    prepare("mine", str(write_folder(tmp_path / "mine", files)), str(tmp_path / "packs"), 48)
    shown = capsys.readouterr().out
    assert "left out: sad: 5 files (bad0.png, …): cannot be read as a picture: not an image" in shown


def test_a_split_that_was_blurred_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = draw_faces("demo", faces=(70, 14, 14))
    for name, blur in (("even", 0.0), ("blurred", 3.0)):
        for index, (image, emotion, split) in enumerate(zip(drawn.images, drawn.emotions, drawn.splits, strict=True)):
            folder = tmp_path / name / split / emotion
            folder.mkdir(parents=True, exist_ok=True)
            face = Image.fromarray(image)
            face = face.filter(ImageFilter.GaussianBlur(blur)) if blur and split == "train" else face
            face.save(folder / f"{index}.png")
        prepare(name, str(tmp_path / name), str(tmp_path / "packs"), 48)
        told = " ".join(capsys.readouterr().out.split())
        assert ("train pictures are far blurrier" in told) == (name == "blurred")
    assert sharpness(np.full((3, 8, 8), 7, np.uint8)) == 0


def test_prepare_needs_a_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.source=PATH"):
        prepare("fer2013", None, str(tmp_path), 48)


def test_drop_leaks_takes_them_out_of_training(
    leaky_table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def splits(**options: bool) -> dict[str, np.ndarray]:
        data = FERDataModule("leaky", source=str(leaky_table), root=str(tmp_path), image_size=12, **options)
        data.prepare_data()
        data.setup()
        return data.splits

    with caplog.at_level("INFO"):
        whole, clean = splits(), splits(drop_leaks=True)
    assert np.setdiff1d(whole["train"], clean["train"]).tolist() == [2, 103, 104, 106]
    assert np.setdiff1d(whole["val"], clean["val"]).tolist() == [105]
    assert np.array_equal(whole["test"], clean["test"])
    assert "4 of 67 train images have a duplicate in val or test" in caplog.text


def test_drawn_faces_hold_no_identical_images(tmp_path: Path) -> None:
    drawn = draw_faces("demo", faces=(70, 14, 14))
    assert len({image.tobytes() for image in drawn.images}) == 98
