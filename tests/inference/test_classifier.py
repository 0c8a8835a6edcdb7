"""EmotionClassifier: training's own probabilities, whatever kind of picture comes."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image

from fer import EmotionClassifier, Prediction
from fer.errors import CheckpointError, ConfigError, PictureError
from fer.evaluation.trained_model import load_trained
from fer.export.export import export
from fer.faces.framing import Framing
from fer.inference.annotate import label
from fer.inference.results import picture_rows
from fer.training.train import train


def test_the_probabilities_are_those_of_the_run(
    classifier: EmotionClassifier, trained_run: Path, drawn_folder: Path
) -> None:
    rows = list(csv.DictReader((trained_run / "predictions.csv").open()))
    predicted = classifier.predict([drawn_folder / row["name"] for row in rows], faces="none")
    temperature = json.loads((trained_run / "calibration.json").read_text())["temperature"]
    assert abs(temperature - 1) > 0.01
    for row, faces in zip(rows, predicted, strict=True):
        trained = np.array([float(row[name]) for name in classifier.classes])
        expected = trained ** (1 / temperature)
        got = np.array([faces[0].probabilities[name] for name in classifier.classes])
        assert np.allclose(got, expected / expected.sum(), atol=1e-4)
        assert faces[0].emotion == row["predicted"]


def test_a_prediction_says_what_how_sure_and_where(
    classifier: EmotionClassifier, seen_faces: list[np.ndarray], put_faces: Callable[..., np.ndarray]
) -> None:
    picture = put_faces([(seen_faces[0], 20, 30), (seen_faces[1], 360, 120)])
    faces = classifier.predict(picture)[0]
    assert len(faces) == 2
    for face in faces:
        assert isinstance(face, Prediction)
        assert list(face.probabilities) == classifier.classes
        assert sum(face.probabilities.values()) == pytest.approx(1)
        assert face.probability == max(face.probabilities.values()) == face.probabilities[face.emotion]
        assert face.box is not None
    assert {round(face.box.left / 360) for face in faces if face.box} == {0, 1}


def test_plausible_emotions_are_those_over_the_threshold_of_the_run(
    classifier: EmotionClassifier, trained_run: Path, seen_faces: list[np.ndarray]
) -> None:
    threshold = json.loads((trained_run / "calibration.json").read_text())["set_threshold"]
    (face,) = classifier.predict(seen_faces[0], faces="none")[0]
    assert face.plausible is not None
    assert face.plausible[0] == face.emotion
    assert set(face.plausible) == {face.emotion} | {name for name, p in face.probabilities.items() if p >= threshold}
    without = EmotionClassifier(classifier.model, device="cpu").predict(seen_faces[0], faces="none")
    assert without[0][0].plausible is None


def test_kinds_of_pictures_agree(classifier: EmotionClassifier, drawn_folder: Path, tmp_path: Path) -> None:
    path = next(drawn_folder.rglob("*.png"))
    pixels = np.asarray(Image.open(path))
    kinds = [
        path,
        str(path),
        Image.open(path),
        pixels,
        pixels[..., None],
        np.repeat(pixels[..., None], 3, axis=2),
        pixels.astype(np.uint16) << 8,
        pixels / 255,
        torch.from_numpy(pixels.copy()),
        torch.from_numpy(pixels.copy())[None],
        torch.from_numpy(pixels / 255).expand(3, -1, -1),
        Image.fromarray(pixels).convert("RGBA"),
    ]
    expected = classifier.predict(pixels)[0][0]
    for faces in classifier.predict(kinds, batch_size=5):
        assert faces[0].probability == pytest.approx(expected.probability, abs=1e-5)
    stack = np.stack([pixels] * 3)
    for several in (stack, stack[..., None], torch.from_numpy(stack)[:, None], list(stack)):
        assert len(classifier.predict(several)) == 3
    assert classifier.predict([]) == []


def test_the_batch_changes_nothing(classifier: EmotionClassifier, drawn_folder: Path) -> None:
    paths = sorted(drawn_folder.rglob("*.png"))[:20]
    one, all_ = (classifier.predict(paths, batch_size=size) for size in (1, 64))
    for a, b in zip(one, all_, strict=True):
        assert a[0].probability == pytest.approx(b[0].probability, abs=1e-5)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4, 2), np.uint8), np.zeros(5), np.full((4, 4), 2.0), np.full((4, 4), -1), np.zeros((0, 4)), 7],
)
def test_what_is_no_picture_is_refused(classifier: EmotionClassifier, picture: object) -> None:
    with pytest.raises(PictureError, match="is no picture"):
        classifier.predict([picture])  # type: ignore[list-item]


def test_a_path_that_cannot_be_read_is_named(classifier: EmotionClassifier, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    with pytest.raises(PictureError, match=r"cut\.png cannot be read: not an image"):
        classifier.predict(tmp_path / "cut.png")


def test_faces_are_as_sharp_as_those_of_training(trained_run: Path, drawn_folder: Path) -> None:
    classifier = EmotionClassifier.load(trained_run, device="cpu")
    assert (classifier.face_size, classifier.image_size) == (48, 32)
    pixels = np.asarray(Image.open(next(drawn_folder.rglob("*.png"))))
    large = np.asarray(Image.fromarray(pixels).resize((480, 480), Image.Resampling.NEAREST))
    assert classifier.frame(large, "none").faces.shape == (1, 48, 48)
    assert abs(classifier.frame(large, "none").faces[0].astype(int) - pixels).mean() < 2


def test_square_photographs_are_framed_as_in_training(
    drawn_folder: Path, tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    photographs = tmp_path / "photographs"
    for path in sorted(drawn_folder.rglob("*.png"))[::4]:
        copy = photographs / path.relative_to(drawn_folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        large = Image.new("L", (240, 240), 200)
        large.paste(Image.open(path).resize((130, 130)), (80, 60))
        large.save(copy)
    data = [f"data.source={photographs}", f"data.root={tmp_path / 'packs'}", "trainer.max_epochs=1"]
    train(tiny_config(*data), tmp_path / "run")
    classifier = EmotionClassifier.load(tmp_path / "run", device="cpu")
    assert classifier.framing == Framing("detector")
    rows = list(csv.DictReader((tmp_path / "run" / "predictions.csv").open()))
    predicted = classifier.predict([photographs / row["name"] for row in rows])
    agreed = [faces[0].emotion == row["predicted"] for faces, row in zip(predicted, rows, strict=True) if faces]
    assert len(agreed) >= 0.9 * len(rows)  # in the others no face is found, of which the pack has the central square
    assert all(agreed)
    assert None not in {face.box for faces in predicted for face in faces}


def test_pictures_declared_as_whole_are_predicted_whole(
    drawn_folder: Path, tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    folder = tmp_path / "whole"
    for path in sorted(drawn_folder.rglob("*.png"))[::2]:
        copy = folder / path.relative_to(drawn_folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((120, 120)).save(copy)
    data = [f"data.source={folder}", f"data.root={tmp_path / 'packs'}", "data.faces=whole", "trainer.max_epochs=1"]
    train(tiny_config(*data), tmp_path / "run")
    classifier = EmotionClassifier.load(tmp_path / "run", device="cpu")
    rows = list(csv.DictReader((tmp_path / "run" / "predictions.csv").open()))
    predicted = classifier.predict([folder / row["name"] for row in rows])
    assert [[face.emotion for face in faces] for faces in predicted] == [[row["predicted"]] for row in rows]
    assert classifier.predict(np.zeros((300, 400), np.uint8))[0][0].box is None


def test_calibration_belongs_to_the_best_checkpoint(trained_run: Path, tmp_path: Path) -> None:
    fitted = json.loads((trained_run / "calibration.json").read_text())["temperature"]
    checkpoints = trained_run / "checkpoints"
    for path in (trained_run, checkpoints / "best.ckpt"):
        assert EmotionClassifier.load(path, device="cpu").temperature == fitted
    shutil.copy(checkpoints / "best.ckpt", tmp_path / "best.ckpt")
    for path in (checkpoints / "last.ckpt", tmp_path / "best.ckpt"):
        assert not EmotionClassifier.load(path, device="cpu").calibrated
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    for content in ("{}", "nonsense", '{"temperature": 0}', '{"temperature": "NaN"}', "[]"):
        (run / "calibration.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"calibration\.json cannot be read"):
            EmotionClassifier.load(run)


def test_what_cannot_work_is_one_line(classifier: EmotionClassifier, trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        EmotionClassifier.load(tmp_path)
    with pytest.raises(ConfigError, match="device=tpu9"):
        EmotionClassifier.load(trained_run, device="tpu9")
    with pytest.raises(ConfigError, match="precision=8"):
        EmotionClassifier.load(trained_run, precision="8")
    with pytest.raises(ConfigError, match="faces=some"):
        classifier.predict([], faces="some")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="batch_size=0"):
        classifier.predict([], batch_size=0)


def test_the_package_imports_torch_only_when_asked_and_lightning_for_no_answer(
    seen_faces: list[np.ndarray], tmp_path: Path
) -> None:
    code = "import sys, fer; assert 'torch' not in sys.modules; assert 'EmotionClassifier' in fer.__all__"
    subprocess.run([sys.executable, "-c", code], check=True)
    answer = "fer.EmotionClassifier.load().predict('face.png', faces='none')"
    code = f"import sys, fer; {answer}; assert not {{'pytorch_lightning', 'torchmetrics'}} & set(sys.modules)"
    Image.fromarray(seen_faces[0]).save(tmp_path / "face.png")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    with pytest.raises(ImportError):
        from fer import Nothing  # type: ignore[attr-defined]  # noqa: F401


def test_a_face_unlike_the_training_data_is_said_to_be(
    trained_run: Path, seen_faces: list[np.ndarray], tmp_path: Path
) -> None:
    classifier = EmotionClassifier.load(trained_run, device="cpu")
    own = [classifier.predict(face, faces="none")[0][0] for face in seen_faces[:8]]
    noise = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    foreign = classifier.predict(noise, faces="none")[0][0]
    assert all(face.novelty is not None for face in own)
    assert foreign.novelty > max(face.novelty for face in own)
    assert foreign.is_unlike_training
    assert label(foreign).endswith("%, unlike training")
    assert picture_rows("a.png", [foreign], classifier.classes)[0][9] == f"{foreign.novelty:.3f}"
    older = replace(load_trained(trained_run), novelty=None)
    unknown = EmotionClassifier.of(older, "cpu").predict(noise, faces="none")[0][0]
    assert unknown.novelty is None
    assert not unknown.is_unlike_training
    assert unknown.probabilities == pytest.approx(foreign.probabilities, abs=1e-6)
    export(str(trained_run), "safetensors", output=str(tmp_path / "model.safetensors"), images=8)
    again = EmotionClassifier.load(tmp_path / "model.safetensors", device="cpu").predict(noise, faces="none")[0][0]
    assert again.novelty == pytest.approx(foreign.novelty, abs=1e-4)
    assert load_trained("fer2013").novelty is not None
