"""The process of the commands, warm, with and without the disk that fails; and what undisturbed commands leave."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Forge

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk that fails."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the disk that fails needs a C compiler and Linux")
    library = tmp_path_factory.mktemp("library") / "fault.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "fault.c", "-ldl"], check=True)
    return library


@pytest.fixture(scope="session")
def forge(library: Path) -> Iterator[Forge]:
    """Runs commands that pack and predict."""
    started = Forge(library, "cli", "data", "inference")
    yield started
    started.close()


@pytest.fixture(scope="session")
def training_forge(library: Path) -> Iterator[Forge]:
    """Runs all commands."""
    started = Forge(library, "cli", "data", "inference", "export", "training", "sweeps")
    yield started
    started.close()
