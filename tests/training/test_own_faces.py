"""A folder of one's own: class folders without splits, with people in the names or without."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from PIL import Image

from fer.data.datasets.drawn import draw_faces
from fer.errors import DataError
from fer.evaluation.evaluate import evaluate_models
from fer.training.train import train
from tests.composing import composed


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`happy/D07.000123.gif`: the person, then a number."""
    folder = tmp_path_factory.mktemp("faces")
    drawn = draw_faces("demo", faces=(210, 42, 42))
    for number, (image, emotion, person) in enumerate(zip(drawn.images, drawn.emotions, drawn.subjects, strict=True)):
        (folder / emotion).mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / emotion / f"{person}.{number:06d}.gif")
    return folder


@pytest.fixture
def mine(faces: Path, tmp_path: Path, tiny_config: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    def make(*overrides: str) -> DictConfig:
        own = [f"data.source={faces}", f"data.root={tmp_path / 'packs'}", "trainer.max_epochs=1"]
        return tiny_config("data=folder", "data.name=mine", *own, *overrides)

    return make


def evaluated(run: Path, *overrides: str) -> tuple[np.ndarray, dict]:
    given = [f"checkpoint={run}", "device=cpu", *overrides]
    _, evaluation = evaluate_models(composed("evaluate", *given), given)
    return evaluation.predictions.names, evaluation.metrics


def test_without_splits_and_people_the_last_of_each_emotion_are_held_out_and_it_is_said(
    mine: Callable[..., DictConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    with caplog.at_level(logging.WARNING):
        numbers = train(mine(), run)
    assert numbers is not None
    assert "mine has no test split and no subjects" in caplog.text
    assert numbers["test/held_out"]
    assert numbers["test/images"] == pytest.approx(29, abs=7)  # a tenth of 294, each emotion rounded up
    report = (run / "report.html").read_text()
    assert "tested on the last tenth of each emotion, by name" in report
    assert "The same people may be in training and test" in report

    packs = f"data.root={tmp_path / 'packs'}"
    for again in ([], ["data=folder", "data.name=mine", packs]):
        names, metrics = evaluated(run, *again)
        assert metrics["test/accuracy"] == numbers["test/accuracy"]
        assert metrics["test/held_out"]
        assert metrics["test/images_trained_on"] == 0
    assert len(evaluated(run, "split=all")[0]) == 294
    assert len(names) < 294


def test_a_strangers_model_is_not_judged_on_a_tenth(
    mine: Callable[..., DictConfig], faces: Path, tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    train(tiny_config("trainer.max_epochs=1"), tmp_path / "run")
    other = ["data=folder", "data.name=theirs", f"data.source={faces}", f"data.root={tmp_path / 'packs'}"]
    with pytest.raises(DataError, match="split=all evaluates every image"):
        evaluated(tmp_path / "run", *other)


def test_people_in_the_names_make_folds(mine: Callable[..., DictConfig], faces: Path, tmp_path: Path) -> None:
    numbers = train(mine("data.subject='(D[0-9]+)[.]'", "data.folds=3", "data.fold=1"), tmp_path / "run")
    assert numbers is not None
    assert "test/held_out" not in numbers
    lines = (tmp_path / "run" / "subjects.csv").read_text().splitlines()[1:]
    tested = {line.rpartition(",")[2] for line in lines}
    people = sorted({path.name.partition(".")[0] for path in faces.rglob("*.gif")})
    assert sorted(tested) == people[1::3]
    assert numbers["test/subjects"] == len(tested)
    names, metrics = evaluated(tmp_path / "run")
    assert metrics["test/accuracy"] == numbers["test/accuracy"]
    assert {Path(name).name.partition(".")[0] for name in names.tolist()} == tested
