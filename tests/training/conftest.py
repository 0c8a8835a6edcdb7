"""What tests of training share."""

import json
from pathlib import Path

import pytest
from trainings import trained_and_saved


@pytest.fixture(scope="session")
def finished(tiny_run: Path) -> tuple[Path, dict]:
    """The folder and the metrics of a run that came to its end."""
    return tiny_run, json.loads((tiny_run / "metrics.json").read_text())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory):
    return trained_and_saved(tmp_path_factory.mktemp("written"))
