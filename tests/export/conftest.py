"""Run folders without a training: networks with random weights whose heads are turned up, so that they decide."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

import fer.export.check
from fer.cli.app import CONF, register_resolvers
from fer.export.export import export
from fer.export.faces import drawn_faces
from fer.instantiate import build
from fer.models.classifier import ExpressionClassifier
from fer.models.network import timm_network
from fer.models.weights import FORMAT

CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
NAMES = {"onnx": "model.onnx", "safetensors": "model.safetensors", "exported_program": "model.pt2"}
TEMPERATURE, SET_THRESHOLD = 1.7, 0.15


@pytest.fixture(autouse=True, scope="session")
def short_timing() -> Iterator[None]:
    """One turn of each timing: how long it takes is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fer.export.check, "ROUNDS", 1)
        yield


@pytest.fixture(scope="session")
def write_checkpoint() -> Callable[..., Path]:
    """Write a checkpoint of a random network that tells faces apart, with much assurance."""

    def write(path: Path, backbone: str = "test_resnet", channels: int = 1, size: int = 32) -> Path:
        torch.manual_seed(0)
        facts = {"backbone": backbone, "num_classes": len(CLASSES), "in_chans": channels}
        network = timm_network(**facts, weights="none")
        mean, std = [0.5] * channels, [0.25] * channels
        spec = {"_target_": "fer.models.network.timm_network", **facts, "weights": "none"}
        classifier = ExpressionClassifier(
            network, network_spec=spec, classes=CLASSES, image_size=size, stored_size=48, mean=mean, std=std
        )
        decide(classifier.eval(), torch.from_numpy(next(drawn_faces().batches(size, channels))))
        kept = {"network": spec, "classes": CLASSES, "image_size": size, "stored_size": 48, "format": FORMAT}
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": classifier.state_dict(), "fer": kept, "epoch": 0}, path)
        return path

    return write


@torch.no_grad()
def decide(classifier: ExpressionClassifier, faces: torch.Tensor) -> None:
    """Turn up the head until the logits of different faces differ by about 4."""
    head: nn.Linear = classifier.network.get_classifier()  # type: ignore[operator]
    logits = classifier(faces)
    factor = 4 / logits.std(dim=0).mean()
    head.weight *= factor
    head.bias.copy_(-factor * (logits.mean(dim=0) - head.bias))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_overrides: list[str], write_checkpoint: Callable) -> Path:
    """A finished run of `test_resnet` on drawn faces at 32 px, and its pack."""
    folder = tmp_path_factory.mktemp("run")
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", tiny_overrides)
    build(cfg.data, "data").prepare_data()
    cfg.data.source = None
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True), encoding="utf-8")
    (folder / "calibration.json").write_text(
        json.dumps({"temperature": TEMPERATURE, "set_threshold": SET_THRESHOLD}), encoding="utf-8"
    )
    write_checkpoint(folder / "checkpoints" / "best.ckpt")
    return folder


@pytest.fixture(scope="session")
def exported(run: Path, once: Callable[..., Path]) -> Callable[..., tuple[Path, dict]]:
    """Export the run in a form and precision, once for all tests: what was written, and what was told of it."""

    def make(form: str, precision: str = "fp32") -> tuple[Path, dict]:
        name = NAMES.get(form, form)

        def fill(folder: Path) -> None:
            results = export(str(run), form, precision, output=str(folder / name))
            (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")

        folder = once(f"{form}_{precision}", fill)
        return folder / name, json.loads((folder / "results.json").read_text(encoding="utf-8"))

    return make
