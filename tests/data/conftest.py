"""What tests of packs share."""

import pytest

from fer.data.build_pack import make_pack


@pytest.fixture
def small(tmp_path, write_folder, picture):
    """A folder of six pictures of two emotions."""
    files = {f"train/{emotion}/{n}.png": picture(n, (8, 8)) for n, emotion in enumerate(["happy", "sad"] * 3)}
    return write_folder(tmp_path / "small", files)


@pytest.fixture
def packed(tmp_path, small):
    """The folder `small` as the pack `faces`."""
    return make_pack(tmp_path / "packs", "faces", str(small))
