"""What tests of training share."""

from pathlib import Path

import pytest
from trainings import trained_and_saved

from fer.training.train import train


@pytest.fixture(scope="session")
def finished(tiny_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The folder and the metrics of a run that came to its end, with all that runs do by default."""
    from hydra import compose, initialize_config_dir

    from fer.cli.app import CONF, register_resolvers

    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = [each for each in tiny_overrides if not each.startswith(("trainer.threads=", "callbacks.schedule="))]
        cfg = compose("train", [*given, "figures=true"])
    folder = tmp_path_factory.mktemp("run") / "run"
    metrics = train(cfg, folder)
    assert metrics is not None
    return folder, metrics


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory):
    return trained_and_saved(tmp_path_factory.mktemp("written"))
