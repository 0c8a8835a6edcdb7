"""Run folders as training leaves them, made up: consistent files, no network, no training."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
FACTS = {"resnet18.a1_in1k": (11_173_831, 94_346_752), "resnet34.a1_in1k": (21_281_991, 180_000_000),
         "resnet50.a1_in1k": (23_515_911, 190_000_000)}  # fmt: skip


def put(folder: Path, **changes: Any) -> Path:
    """Write a run folder; see `MadeUpRun` for what may be said."""
    return MadeUpRun(folder, **changes).write()


class MadeUpRun:
    """What a run of one seed leaves.

    Args:
        folder: where.
        backbone: timm's name.
        data: name of the data set; it alone decides what the test images are.
        seed: of the run.
        ability: how good the network is; 1 is about 75 % right.
        images: in the test set.
        people: on them; None where nobody knows.
        classes: names of the outputs.
        settings: more of the config, as dotted key -> value.
        finished: whether it has results.
        choices: what was typed, as `choices.json` has it; None as older versions left it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        backbone: str = "resnet18.a1_in1k",
        data: str = "fer2013",
        seed: int = 0,
        ability: float = 1.0,
        images: int = 300,
        people: int | None = None,
        classes: Sequence[str] = EMOTIONS,
        settings: dict[str, Any] | None = None,
        finished: bool = True,
        choices: dict[str, Any] | None = None,
    ) -> None:
        self.folder, self.backbone, self.data, self.seed = folder, backbone, data, seed
        self.classes, self.people, self.finished = list(classes), people, finished
        self.settings, self.choices = settings or {}, choices
        world = np.random.default_rng(sum(data.encode()))
        self.labels = world.integers(0, len(self.classes), images)
        hardness = world.normal(0, 1.5, images)
        luck = np.random.default_rng([sum(backbone.encode()), seed])
        right = ability + hardness + luck.normal(0, 0.7, images) + luck.normal(0, 0.02) > 0
        wrong = (self.labels + luck.integers(1, len(self.classes), images)) % len(self.classes)
        self.predicted = np.where(right, self.labels, wrong)
        self.names = [f"{self.classes[label]}/{index:05d}.png" for index, label in enumerate(self.labels)]

    @property
    def config(self) -> dict[str, Any]:
        config = OmegaConf.create(
            {
                "seed": self.seed,
                "data": {"name": self.data, "folds": None, "fold": 0, "image_size": 48, "classes": None,
                         "default_classes": self.classes, "seed": self.seed},
                "model": {"_target_": "fer.models.network.timm_network", "backbone": self.backbone, "weights": "none",
                          "stem": "default"},
                "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.001},
                "trainer": {"max_epochs": 5, "accelerator": "auto"},
            }
        )  # fmt: skip
        for key, value in self.settings.items():
            OmegaConf.update(config, key, value, force_add=True)
        content = OmegaConf.to_container(config)
        assert isinstance(content, dict)
        return content

    def metrics(self) -> dict[str, Any]:
        accuracy = float((self.labels == self.predicted).mean())
        parameters, macs = FACTS.get(self.backbone, (500_000, 2_000_000))
        return {
            "test/accuracy": accuracy,
            "test/accuracy_ci95": [accuracy - 0.05, min(1.0, accuracy + 0.05)],
            "test/macro_f1": accuracy - 0.02,
            "test/balanced_accuracy": accuracy - 0.01,
            "test/nll": 1 - accuracy,
            "test/ece": 0.05 + self.seed / 1000,
            "test/ece_calibrated": 0.02,
            "test/accuracy_deduplicated": accuracy,
            "test/images": len(self.labels),
            "val/accuracy": accuracy + 0.01,
            "best_epoch": 3,
            "parameters": parameters,
            "macs": macs,
            "train_images_per_second": 300.0,
            "train_seconds": 100.0 + self.seed,
            "peak_memory_bytes": 1_400_000_000,
            "device": "cpu, 2 threads",
        }

    def write(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(self.config)))
        if self.choices is not None:
            (self.folder / "choices.json").write_text(json.dumps(self.choices))
        if not self.finished:
            return self.folder
        with (self.folder / "predictions.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "label", "predicted", "loss", *self.classes])
            for name, label, predicted in zip(self.names, self.labels, self.predicted, strict=True):
                shares = [0.9 if k == predicted else 0.1 / (len(self.classes) - 1) for k in range(len(self.classes))]
                writer.writerow([name, self.classes[label], self.classes[predicted], 0.5, *shares])
        if self.people:
            lines = [f"{name},P{index % self.people:03d}" for index, name in enumerate(self.names)]
            (self.folder / "subjects.csv").write_text("\n".join(["name,subject", *lines]) + "\n")
        (self.folder / "checkpoints").mkdir(exist_ok=True)
        (self.folder / "checkpoints" / "best.ckpt").write_bytes(b"x" * 45_000)
        (self.folder / "metrics.json").write_text(json.dumps(self.metrics()))
        return self.folder
