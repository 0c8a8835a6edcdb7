"""What tests of packs share."""

import pytest

from fer.data.build_pack import build_pack


@pytest.fixture
def packed(tmp_path, small):
    """The folder `small` as the pack `faces`."""
    return build_pack(tmp_path / "packs", "faces", str(small))
