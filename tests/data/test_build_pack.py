"""Pictures leave the buffer as they came, whether memory held them or a file did."""

from pathlib import Path

import numpy as np
import pytest

from fer.data.build_pack import build_pack
from fer.data.pack import open_pack
from fer.data.write_pack import PictureBuffer
from fer.faces.framing import square


@pytest.mark.parametrize("in_memory", [1 << 20, 10])
def test_pictures_come_back(in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer.data.write_pack.BUFFER_BYTES", in_memory)
    pictures = np.random.default_rng(0).integers(0, 256, (7, 5, 6), dtype=np.uint8)
    with PictureBuffer() as buffer:
        for picture in pictures:
            buffer.append(picture)
        assert len(buffer) == 7
        assert buffer.save(tmp_path / "images.npy", 4) == (7, 5, 6)
    assert np.array_equal(np.load(tmp_path / "images.npy"), pictures)
    assert buffer.file.closed


@pytest.mark.parametrize("coloured", [1, 2])
def test_most_pictures_decide_on_colour_and_mixed_sizes_are_squared(coloured: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (8, 9 + i, 3), dtype=np.uint8) for i in range(3)]
    given = [picture if i < coloured else picture[..., 0] for i, picture in enumerate(pictures)]
    with PictureBuffer() as buffer:
        for picture in given:
            buffer.append(picture)
        shape = buffer.save(tmp_path / "images.npy", 4)
    stored = np.load(tmp_path / "images.npy")
    assert shape == stored.shape == ((3, 4, 4, 3) if coloured == 2 else (3, 4, 4))
    if coloured == 2:
        assert np.array_equal(stored[0], square(pictures[0], 4))
        assert np.array_equal(stored[2, ..., 1], square(given[2], 4))
    else:
        assert np.array_equal(stored[1], square(given[1], 4))


def test_what_could_not_be_listed_is_in_the_manifest_and_counted(tmp_path, small, caplog) -> None:
    for number in range(4):
        (small / "train" / "happy" / f"dead{number}.png").symlink_to("/nowhere")
    (small / "train" / "sad" / "again.png").symlink_to(small / "train" / "sad" / "1.png")
    pack = open_pack(build_pack(tmp_path / "packs", "faces", str(small)))
    assert len(pack) == 6
    assert len(pack.manifest["rejected"]) == 5
    assert "5 files of" in caplog.text
    assert "train/happy: 4 files (dead0.png, …): a link into / that cannot be opened" in caplog.text
