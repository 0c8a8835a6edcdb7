from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_runs import put


@pytest.fixture(scope="session")
def run_folder() -> Callable[..., Path]:
    """Write a made-up run folder: `run_folder(path, backbone=…, data=…, seed=…, ability=…, …)`."""
    return put
