"""A bundle answers as predict.py does, without PyTorch; exports are read back; each has a model card."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer.cli.app import CONF
from fer.errors import CheckpointError, ConfigError
from fer.evaluation.trained_model import load_trained
from fer.export.export import export
from fer.inference.predictor import EmotionClassifier, Prediction
from fer.models.weights import read_checkpoint
from tests.export.conftest import CLASSES, TEMPERATURE

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

Exported = Callable[..., tuple[Path, dict]]

ALONE = """
import runpy, sys
sys.modules.update(dict.fromkeys(["torch", "torchvision", "timm", "PIL", "scipy", "fer"]))  # None: no import finds them
sys.path.insert(0, sys.argv[1])
sys.argv = ["run.py", *sys.argv[2:]]
runpy.run_path(sys.path[0] + "/run.py", run_name="__main__")
"""

LIGHT = """
import os, runpy, sys
del os.environ["OMP_NUM_THREADS"]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert int(os.environ["OMP_NUM_THREADS"]) >= 1, "as many as cores are free"
heavy = {"torch", "torchvision", "timm", "pytorch_lightning", "torchmetrics", "scipy", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture(scope="module")
def bundle(exported: Exported) -> Path:
    folder, results = exported("bundle")
    assert (results["image_size"], results["max_probability_difference"] <= 1e-4) == (48, True)
    return folder


def test_a_bundle_answers_as_predict_does_where_torch_cannot_be_imported(
    bundle: Path, run: Path, pictures: list[Path]
) -> None:
    assert len((bundle / "run.py").read_text(encoding="utf-8").splitlines()) <= 40
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(bundle), *map(str, pictures)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = {Path(line["picture"]).name: line["faces"] for line in map(json.loads, done.stdout.splitlines())}
    classifier = EmotionClassifier.load(run, device="cpu")
    counts = {}
    for path in pictures:
        expected = classifier.predict(path)[0]
        counts[path.name] = len(expected)
        assert len(answers[path.name]) == len(expected)
        for face, own in zip(answers[path.name], expected, strict=True):
            box, novelty = face.pop("box"), face.pop("novelty")
            assert box == (own.box and {"left": own.box.left, "top": own.box.top, "side": own.box.side})
            assert face == pytest.approx(own.probabilities, abs=1e-4)
            assert novelty == pytest.approx(own.novelty, abs=1e-3)
    assert counts == {"crop.png": 1, "crowd.png": 2, "empty.png": 0, "glass.png": 2, "strip.png": 0, "turned.jpg": 2}


def test_a_bundle_of_drawn_faces_says_so(bundle: Path, run: Path, tmp_path: Path, pictures: list[Path]) -> None:
    drawn = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("export"))  # with its novelty.txt
    config = (drawn / "config.yaml").read_text(encoding="utf-8")
    (drawn / "config.yaml").write_text(config.replace("name: fer2013", "name: demo", 1), encoding="utf-8")
    export(str(drawn), "bundle", images=4)
    texts = []
    for folder in (drawn / "export" / "bundle", bundle):
        done = subprocess.run(
            [sys.executable, "run.py", str(pictures[1])], cwd=folder, capture_output=True, text=True, check=True
        )
        texts.append(json.loads(done.stdout)["warning"])
    assert texts == ["This model was trained on drawn faces alone: what it says of a photograph means nothing.", ""]
    assert f"**{texts[0]}**" in (drawn / "export" / "bundle" / "README.md").read_text(encoding="utf-8")


def test_a_bundle_names_a_file_that_is_no_picture(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no picture", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "run.py", str(tmp_path / "notes.jpg")], cwd=bundle, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "notes.jpg is no picture" in done.stderr


@pytest.mark.parametrize("form", ["onnx", "bundle", "hub", "safetensors"])
def test_predictions_of_an_export_are_those_of_its_checkpoint(
    run: Path, exported: Exported, pictures: list[Path], form: str
) -> None:
    original, read_back = (EmotionClassifier.load(path, device="cpu") for path in (run, exported(form)[0]))
    assert read_back.calibrated
    faces = [_values(classifier.predict(pictures)) for classifier in (original, read_back)]
    assert len(faces[0]) == len(faces[1]) == 7
    for one, other in zip(*faces, strict=True):
        assert one[0] == other[0]
        assert one[1] == pytest.approx(other[1], abs=1e-4)
        assert one[2] == pytest.approx(other[2], abs=1e-3)


def _values(pictures: list[list[Prediction]]) -> list[tuple]:
    return [(face.box, face.probabilities, face.novelty) for faces in pictures for face in faces]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_smaller_precisions_tell_noise_from_faces(run: Path, tmp_path: Path, precision: str) -> None:
    results = export(str(run), "onnx", precision, output=str(tmp_path / "model.onnx"))
    assert abs(results["unlike_training"] - results["unlike_training_exported"]) <= 0.1
    classifier = EmotionClassifier.load(tmp_path / "model.onnx", device="cpu")
    noise = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    assert classifier.predict(noise, faces="none")[0][0].is_unlike_training


def test_an_onnx_file_of_before_has_no_novelty(bundle: Path, tmp_path: Path, pictures: list[Path]) -> None:
    import onnx

    model = onnx.load(bundle / "model.onnx")
    assert [output.name for output in model.graph.output] == ["probabilities", "novelty"]
    del model.graph.output[1]
    onnx.save(model, tmp_path / "model.onnx")
    older, newer = (EmotionClassifier.load(path, device="cpu") for path in (tmp_path, bundle))
    faces = [classifier.predict(pictures[1])[0] for classifier in (older, newer)]
    assert [face.novelty for face in faces[0]] == [None, None]
    assert [face.probabilities for face in faces[0]] == [face.probabilities for face in faces[1]]


def test_predict_py_takes_an_onnx_file_and_imports_nothing_heavy(
    exported: Exported, tmp_path: Path, pictures: list[Path]
) -> None:
    model, _ = exported("onnx", "fp16")
    script = CONF.parent / "scripts" / "predict.py"
    given = [f"checkpoint={model}", f"input={pictures[1]}", f"output={tmp_path / 'out'}"]
    command = [sys.executable, "-c", LIGHT, str(script), *given]
    done = subprocess.run([*command, "device=cpu"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 3
    assert rows[0].endswith(",".join(CLASSES))
    with pytest.raises(ConfigError, match="device=cuda: ONNX files are computed on the CPU"):
        EmotionClassifier.load(model, device="cuda")
    with pytest.raises(ConfigError, match="precision=bf16-mixed: an ONNX file has its own"):
        EmotionClassifier.load(model, precision="bf16-mixed")


def test_a_finished_program_is_not_trained_exported_or_mistaken(run: Path, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="can neither be trained nor exported again"):
        read_checkpoint(bundle)
    with pytest.raises(CheckpointError, match="can neither be trained nor exported again"):
        export(str(bundle / "model.onnx"), "safetensors", output=str(tmp_path / "x.safetensors"))
    (tmp_path / "program.pt2").touch()
    with pytest.raises(CheckpointError, match="may hold code and is not run here"):
        load_trained(tmp_path / "program.pt2")
    (tmp_path / "cut.onnx").write_bytes((bundle / "model.onnx").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"cut\.onnx is damaged"):
        load_trained(tmp_path / "cut.onnx")
    yunet = bundle / "faces" / "yunet" / "face_detection_yunet_2026may.onnx"
    with pytest.raises(CheckpointError, match=r"is no ONNX model of export\.py"):
        load_trained(yunet)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_trained(tmp_path / "none.onnx")


@pytest.mark.parametrize("form", ["onnx", "exported_program", "safetensors"])
def test_a_model_card_lies_beside_each_file(exported: Exported, form: str) -> None:
    path, results = exported(form)
    card = path.with_name(f"{path.name}.md").read_text(encoding="utf-8")
    assert f"Accuracy {results['accuracy_exported']:.1%} on 42 test images of fer2013, in fp32" in card
    assert "angry, disgust" in card
    assert "an expression is not a feeling" in card
    assert "Its probabilities are calibrated" in card
    assert f'"{path.name}"' in card
    assert results["temperature"] == TEMPERATURE
