"""A damaged pack is told in one line with the way out."""

import json

import numpy as np
import pytest

from fer.data.build_pack import build_pack, ensure_pack
from fer.data.pack import open_pack
from fer.errors import DataError


def edit_manifest(change):
    def edit(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(change(manifest)))

    return edit


def truncate(name, keep):
    def edit(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(keep * len(content))])

    return edit


DAMAGES = {
    "no images": lambda folder: (folder / "images.npy").unlink(),
    "empty images": truncate("images.npy", 0),
    "cut images": truncate("images.npy", 0.9),
    "other images": lambda folder: np.save(folder / "images.npy", np.zeros((5, 8, 8), np.uint8)),
    "images of floats": lambda folder: np.save(folder / "images.npy", np.zeros((6, 8, 8))),
    "pickled images": lambda folder: np.save(folder / "images.npy", np.array([{}]), allow_pickle=True),
    "text for images": lambda folder: (folder / "images.npy").write_text("version https://git-lfs.github.com/spec/v1"),
    "no table": lambda folder: (folder / "table.csv").unlink(),
    "cut table": truncate("table.csv", 0.7),
    "edited table": lambda folder: (folder / "table.csv").write_text(
        (folder / "table.csv").read_text().replace("happy", "sad", 1)
    ),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "empty manifest": truncate("manifest.json", 0),
    "cut manifest": truncate("manifest.json", 0.5),
    "manifest that is a list": lambda folder: (folder / "manifest.json").write_text("[]"),
    "manifest without shape": edit_manifest(lambda m: {k: v for k, v in m.items() if k != "shape"}),
    "manifest without source": edit_manifest(lambda m: {k: v for k, v in m.items() if k != "source"}),
    "manifest of another format": edit_manifest(lambda m: m | {"format": 0}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_pack_is_told_in_one_line_with_the_way_out(packed, small, damage):
    damage(packed)
    with pytest.raises(
        DataError, match=r"remake it: python scripts/prepare\.py data=faces data\.source=PATH"
    ) as caught:
        ensure_pack(packed.parent, "faces", str(small))
        open_pack(packed)
    assert "\n" not in str(caught.value)
    build_pack(packed.parent, "faces", str(small))  # the way out works
    assert len(open_pack(packed)) == 6


def test_a_single_changed_pixel_is_noticed(packed):
    path = packed / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.npy has changed.*remake it"):
        open_pack(packed)
