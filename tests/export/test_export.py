"""What is exported is the original: any batch, other architectures, colour; anything else is not written."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from fer.errors import CheckpointError, ConfigError, DataError, ExportError, RunError
from fer.evaluation.trained_model import load_trained
from fer.export.check import check_difference, compare
from fer.export.export import export
from fer.export.faces import drawn_faces
from fer.export.formats import CalibratedNetwork, load_safetensors, run_network
from fer.models.load import load_classifier
from fer.models.network import timm_network
from fer.runs.folder import RunFolder
from tests.export.conftest import CLASSES, SET_THRESHOLD, TEMPERATURE

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(scope="module")
def onnx_file(exported: Callable) -> Path:
    path, results = exported("onnx")
    assert results["file"] == "model.onnx"
    return path


@torch.inference_mode()
def expected(checkpoint: Path, faces: np.ndarray, temperature: float = TEMPERATURE) -> np.ndarray:
    """The probabilities of a checkpoint, float32 [B, K], computed as training does."""
    return (load_classifier(checkpoint)(torch.from_numpy(faces)) / temperature).softmax(dim=1).numpy()


def faces(count: int, size: int = 32, channels: int = 1) -> np.ndarray:
    """Drawn faces, float32 [count, C, S, S] in [0, 1]."""
    return next(drawn_faces().batches(size, channels, count))


def test_two_exports_of_one_name_do_not_mix_their_files(run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("fer.export.export.PATIENCE", 0.1)
    with (
        RunFolder(tmp_path).only_writer(file="model.safetensors"),
        pytest.raises(RunError, match=r"model\.safetensors is being written by another export; .* give another output"),
    ):
        export(str(run), "safetensors", output=str(tmp_path / "model.safetensors"), shown=False)
    assert {path.name for path in tmp_path.iterdir()} == {".model.safetensors.lock"}
    export(str(run), "safetensors", output=str(tmp_path / "model.safetensors"), shown=False)
    files = {"model.safetensors", "model.safetensors.json", "model.safetensors.md"}
    assert {path.name for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize("batch", [1, 5])
def test_onnx_gives_the_calibrated_probabilities_of_any_batch(run: Path, onnx_file: Path, batch: int) -> None:
    images = faces(batch)
    found = onnxruntime.InferenceSession(onnx_file).run(None, {"images": images})[0]
    assert np.abs(found - expected(run, images)).max() < 1e-4
    assert np.abs(found - expected(run, images, temperature=1.0)).max() > 0.05  # what agreement would not be


def test_onnx_says_what_it_is_and_nothing_of_this_machine(run: Path, onnx_file: Path) -> None:
    facts = onnxruntime.InferenceSession(onnx_file).get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == CLASSES
    assert (facts["image_size"], facts["channels"], facts["precision"]) == ("32", "1", "fp32")
    assert float(facts["temperature"]) == TEMPERATURE
    assert facts["trained_on"] == "fer2013"
    assert "divided by 255" in facts["preprocessing"]
    content = onnx_file.read_bytes()
    assert str(Path(sys.prefix)).encode() not in content
    assert b".py" not in content


def test_the_numbers_stand_beside_the_model(onnx_file: Path) -> None:
    results = json.loads(onnx_file.with_name("model.onnx.json").read_text(encoding="utf-8"))
    assert results["max_probability_difference"] <= 1e-4
    assert results["same_emotion"] == 1
    assert results["images"] == 42
    assert results["checked_on"] == "test images of fer2013"
    assert results["accuracy"] == results["accuracy_exported"]
    assert results["bytes"] == onnx_file.stat().st_size
    assert set(results["timing"]) == {"PyTorch", "onnxruntime"}
    assert all(value > 0 for times in results["timing"].values() for value in times.values())


def test_the_readme_runs_it_without_torch(onnx_file: Path, tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    if "<!-- onnx snippet -->" not in text:
        pytest.skip("README has no ONNX snippet")
    snippet = re.search(r"<!-- onnx snippet -->\s*```python\n(.*?)```", text, re.DOTALL)
    assert snippet is not None
    (tmp_path / "model.onnx").write_bytes(onnx_file.read_bytes())
    np.save(tmp_path / "faces.npy", drawn_faces().images[:3, 8:40, 8:40])
    (tmp_path / "snippet.py").write_text("import sys\nsys.modules['torch'] = None\n" + snippet[1], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "snippet.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 3
    assert all(line.split()[0] in CLASSES for line in lines)


def test_smaller_precisions_are_smaller_and_near(run: Path, exported: Callable, onnx_file: Path) -> None:
    sizes = {"fp32": onnx_file.stat().st_size}
    for precision, same in (("fp16", 0.97), ("int8", 0.8)):
        path, results = exported("onnx", precision)
        assert results["same_emotion"] >= same
        assert results["accuracy_exported"] is not None
        sizes[precision] = path.stat().st_size
        session = onnxruntime.InferenceSession(path)
        assert session.get_inputs()[0].type == "tensor(float)"
        assert session.get_modelmeta().custom_metadata_map["precision"] == precision
        images = faces(3)
        assert np.abs(session.run(None, {"images": images})[0] - expected(run, images)).max() < 0.25
    assert sizes["fp16"] < 0.6 * sizes["fp32"]
    assert sizes["int8"] < 0.5 * sizes["fp32"]


def test_another_architecture_in_colour_without_its_run(write_checkpoint: Callable, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "mine.ckpt", "test_efficientnet", channels=3)
    results = export(str(checkpoint), "onnx")
    assert (results["checked_on"], results["accuracy"]) == ("drawn faces", None)
    images = faces(4, channels=3)
    found = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"images": images})[0]
    assert np.abs(found - expected(checkpoint, images, temperature=1.0)).max() < 1e-4
    with pytest.raises(DataError, match="int8 takes ranges from the run's training images"):
        export(str(checkpoint), "onnx", "int8")


def test_a_transformer_as_an_exported_program(write_checkpoint: Callable, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "mine.ckpt", "test_vit", size=160)
    export(str(checkpoint), "exported_program", output=str(tmp_path / "vit.pt2"), images=8)
    extra = {"fer.json": ""}
    program = torch.export.load(tmp_path / "vit.pt2", extra_files=extra)
    assert json.loads(json.loads(extra["fer.json"])["classes"]) == CLASSES
    images = faces(3, 160)
    with torch.inference_mode():
        found = program.module()(torch.from_numpy(images)).numpy()
    assert np.abs(found - expected(checkpoint, images, temperature=1.0)).max() < 1e-4


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_safetensors_are_weights_by_timms_names(run: Path, tmp_path: Path, precision: str) -> None:
    path = tmp_path / "model.safetensors"
    results = export(str(run), "safetensors", precision, output=str(path))
    assert load_trained(path).set_threshold == SET_THRESHOLD  # so that predictions from it have prediction sets
    images = faces(3)
    loaded = run_network(load_safetensors(path.read_bytes()))(images)
    assert np.abs(loaded - expected(run, images)).max() < (1e-6 if precision == "fp32" else 0.02)
    assert results["max_probability_difference"] < (1e-6 if precision == "fp32" else 0.02)
    timm.create_model("test_resnet", num_classes=7, in_chans=1, checkpoint_path=str(path))
    network = timm_network("test_resnet", num_classes=7, in_chans=1, weights=path)
    own = load_classifier(run).network.state_dict()
    stem = next(iter(own))
    assert torch.allclose(network.state_dict()[stem], own[stem], atol=1e-3)


def test_a_model_that_differs_is_refused(run: Path) -> None:
    classifier = load_classifier(run)
    original, other = (run_network(CalibratedNetwork(classifier, temperature)) for temperature in (1.0, 1.001))
    found = compare(original, other, drawn_faces(), 32, 1)
    assert found["same_emotion"] == 1
    with pytest.raises(ExportError, match="not written: a probability differs"):
        check_difference(found, "fp32")
    check_difference(found, "fp16")
    with pytest.raises(ExportError, match="no numbers"):
        compare(original, lambda images: original(images) * np.float32("nan"), drawn_faces(), 32, 1)


def test_last_checkpoints_go_without_the_temperature_of_the_best(run: Path, tmp_path: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    results = export(str(last), "safetensors", output=str(tmp_path / "last.safetensors"), images=4)
    assert (results["temperature"], results["images"]) == (1.0, 4)
    assert results["checkpoint"] == "last.ckpt"
    names = [
        export(str(path), "safetensors", images=4)["file"] for path in (run, run / "checkpoints" / "best.ckpt", last)
    ]
    assert names == ["model.safetensors", "model.safetensors", "model_last.safetensors"]
    assert export(str(run), "safetensors", "fp16", images=4)["file"] == "model_fp16.safetensors"


@pytest.mark.parametrize(
    ("form", "precision", "line"),
    [
        ("onxx", "fp32", "format=onxx: choose onnx, exported_program, safetensors"),
        ("safetensors", "int8", "precision=int8: format=safetensors has fp32, fp16"),
        ("onnx", "bf16", "precision=bf16: format=onnx has fp32, fp16, int8"),
    ],
)
def test_choices_that_do_not_exist(run: Path, form: str, precision: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        export(str(run), form, precision)


def test_what_cannot_be_exported_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        export(str(tmp_path / "nowhere"), "onnx")
    with pytest.raises(ConfigError, match="is a folder"):
        export(str(run), "onnx", output=str(tmp_path))
    with pytest.raises(ExportError, match="cannot be written"):
        (tmp_path / "file").touch()
        export(str(run), "safetensors", output=str(tmp_path / "file" / "model.safetensors"), images=4)


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    content = io.BytesIO()
    torch.save({"fer": _Trap(tmp_path / "sprung")}, content)
    (tmp_path / "evil.ckpt").write_bytes(content.getvalue())
    with pytest.raises(CheckpointError, match="never loaded"):
        export(str(tmp_path / "evil.ckpt"), "onnx")
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load_safetensors(content.getvalue())
    assert not (tmp_path / "sprung").exists()


def test_the_hub_folder_is_loaded_by_timm_with_calibrated_probabilities(run: Path, exported: Callable) -> None:
    folder, results = exported("hub")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    cfg = network.pretrained_cfg
    assert network.num_classes == cfg["num_classes"] == len(CLASSES)
    assert cfg["label_names"] == CLASSES
    images = faces(3)
    mean, std = (torch.tensor(cfg[key]).view(-1, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        found = network((torch.from_numpy(images) - mean) / std).softmax(dim=1).numpy()
    assert np.abs(found - expected(run, images)).max() < 1e-4
    assert results["max_probability_difference"] <= 1e-4
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: timm\n")
    assert f"Accuracy {results['accuracy_exported']:.1%} on 42 test images of fer2013" in card
    assert "angry, disgust" in card
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert code is not None
    names: dict = {}
    exec(code[1].replace("FOLDER", str(folder)), names)
    assert names["probabilities"].shape == (1, len(CLASSES))
    from huggingface_hub import ModelCard

    assert ModelCard.load(folder / "README.md").data.library_name == "timm"
