"""A model of splits that were brought to one sharpness meets its own pictures as they are, and sharper ones shrunk."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image, ImageFilter

from fer.cli.app import CONF
from fer.cli.evaluate import evaluate
from fer.data.pack import open_pack
from fer.evaluation.trained_model import load_trained
from fer.inference.page.answer import about
from fer.inference.predictor import EmotionClassifier
from fer.reporting.limits import MATCHED
from fer.training.train import train


@pytest.fixture(scope="module")
def damaged(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FER2013's look-alike, its Training pictures blurred."""
    folder = tmp_path_factory.mktemp("damaged")
    for path in drawn_folder.rglob("*.png"):
        target = folder / path.relative_to(drawn_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.open(path)
        training = path.name.startswith("Training")
        (picture.filter(ImageFilter.GaussianBlur(2.5)) if training else picture).save(target)
    return folder


def test_a_matched_model_on_its_own_and_on_sharper_pictures(
    damaged: Path, tiny_config: Callable[..., DictConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, root = f"data.source={damaged}", f"data.root={tmp_path / 'packs'}"
    run = tmp_path / "run"
    numbers = train(tiny_config("data=fer2013_matched", source, root, "trainer.max_epochs=1"), run)
    assert numbers is not None
    capsys.readouterr()

    def again(*overrides: str) -> tuple[float, np.ndarray]:
        given = (f"checkpoint={run}", "figures=false", *overrides)
        with initialize_config_dir(str(CONF), version_base="1.3"):
            evaluate(compose("evaluate", list(given)), overrides=given, folder=tmp_path / "evaluated")
        metrics = json.loads((tmp_path / "evaluated" / "metrics.json").read_text())
        losses = np.genfromtxt(tmp_path / "evaluated" / "predictions.csv", delimiter=",", skip_header=1, usecols=3)
        return metrics["test/accuracy"], losses

    accuracy, own = again()
    assert accuracy == numbers["test/accuracy"]
    assert MATCHED in (tmp_path / "evaluated" / "report.html").read_text()
    side = open_pack(tmp_path / "packs" / "fer2013_matched").manifest["sharpness"]["sharp_side"]
    assert 16 <= side < 48
    _, shrunk = again("data=fer2013", source, root)
    assert EmotionClassifier.load(run).face_size == side
    assert len(own) == len(shrunk)
    assert not np.allclose(own, shrunk)  # the plain pack's pictures are other ones
    assert MATCHED not in (tmp_path / "evaluated" / "report.html").read_text()
    assert MATCHED in about(load_trained(run))["limits"]
    assert "figures" not in capsys.readouterr().out  # none were drawn
