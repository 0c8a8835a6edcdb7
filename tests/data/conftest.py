"""What tests of packs share."""

import pytest


@pytest.fixture
def small(tmp_path, write_folder, picture):
    """A folder of six pictures of two emotions."""
    files = {f"train/{emotion}/{n}.png": picture(n, (8, 8)) for n, emotion in enumerate(["happy", "sad"] * 3)}
    return write_folder(tmp_path / "small", files)
