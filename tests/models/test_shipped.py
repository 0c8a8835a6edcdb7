"""The weights that come with the package: whole, found by a word, and the start of any training."""

import json
import logging
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from fer import EmotionClassifier
from fer.errors import CheckpointError, WeightsError
from fer.models import shipped
from fer.models.load import load_classifier
from fer.models.network import timm_network, with_stem_of_weights
from fer.models.shipped import FOLDER, SHA256, located
from fer.models.weights import exported_checkpoint, read_checkpoint

EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


@pytest.mark.parametrize("word", SHA256)
def test_shipped_weights_are_what_was_published(word: str) -> None:
    facts = read_checkpoint(word)["fer"]
    assert facts["classes"] == EMOTIONS
    assert located(word).stat().st_size < 25e6


def test_a_damaged_file_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(WeightsError, match="install this package again"):
        read_checkpoint("fer2013")
    content = bytearray((FOLDER / "fer2013.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "fer2013.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"SHA-256 differs"):
        EmotionClassifier.load()


def test_any_training_starts_from_them(caplog: pytest.LogCaptureFixture) -> None:
    model = OmegaConf.create({"stem": "auto", "weights": "fer2013", "backbone": "resnet18.a1_in1k"})
    stem = with_stem_of_weights(model).stem
    assert stem == read_checkpoint("fer2013")["fer"]["network"]["stem"]
    with caplog.at_level(logging.INFO):
        network = timm_network(
            backbone="resnet18.a1_in1k", num_classes=3, weights="fer2013", stem=stem, classes=["happy", "sad", "fear"]
        )
    assert "the head is new" in caplog.text
    trained = load_classifier("fer2013").network.state_dict()
    for key, value in network.state_dict().items():
        assert key.startswith("fc.") or torch.equal(value, trained[key])
    with pytest.raises(WeightsError, match="does not fit"):
        timm_network(backbone="resnet50.a1_in1k", num_classes=7, weights="fer2013", stem=stem)


def test_the_stem_is_that_of_the_weights_only_where_they_are_ours() -> None:
    for weights in ("none", "imagenet"):
        assert with_stem_of_weights(OmegaConf.create({"stem": "auto", "weights": weights})).stem == "default"
    assert with_stem_of_weights(OmegaConf.create({"stem": "small", "weights": "fer2013"})).stem == "small"
    assert "stem" not in with_stem_of_weights(OmegaConf.create({"_target_": "torch.nn.Linear"}))


def test_the_model_answers_without_any_training() -> None:
    classifier = EmotionClassifier.load(device="cpu")
    assert classifier.calibrated
    [[face]] = classifier.predict(torch.zeros(48, 48), faces="none")
    assert sum(face.probabilities.values()) == pytest.approx(1)
    assert list(face.probabilities) == EMOTIONS


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"<html>not found</html>", b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 64])
def test_what_is_no_exported_model_is_one_line(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no safetensors file"):
        exported_checkpoint(content, "this")
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load_classifier(path)


def test_an_edited_header_is_refused(tmp_path: Path) -> None:
    content = (FOLDER / "fer2013.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["classes"] = '"happy"'
    edited = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(edited).to_bytes(8, "little") + edited + content[8 + length :])
    with pytest.raises(CheckpointError, match="damaged, or was edited"):
        load_classifier(path)
