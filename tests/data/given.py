"""Tables, pictures and archives as data sets are given, in bytes."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from fer.data.build_pack import build_pack
from fer.data.pack import open_pack

SIDE = 6
FACES = np.random.default_rng(0).integers(0, 256, (9, SIDE, SIDE), dtype=np.uint8)
PACK_FILES = ["images.npy", "manifest.json", "table.csv"]
USAGES = ("Training", "PublicTest", "PrivateTest")


def table(columns: str = "emotion,pixels,Usage", labels: tuple[object, ...] = (0, 1, 2, 3, 4, 5, 6, 0, 3)) -> bytes:
    rows = [columns]
    for index, (face, label) in enumerate(zip(FACES, labels, strict=False)):
        fields = {"emotion": label, "pixels": " ".join(map(str, face.ravel())), "usage": USAGES[index % 3]}
        rows.append(",".join(str(fields[column.strip().lower()]) for column in columns.split(",")))
    return "\n".join(rows).encode() + b"\n"


def png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def tar_gz(files: dict[str, bytes], kind: str = "gz") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=f"w:{kind}" if kind else "w") as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def pack_of(tmp_path: Path, name: str, content: bytes):
    source = tmp_path / name
    source.write_bytes(content)
    return open_pack(build_pack(tmp_path / "packs", "set", str(source)))


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content_of(pack: Path) -> dict[str, bytes]:
    return {name: (pack / name).read_bytes() for name in PACK_FILES}


def colour_face(seed: int, side: int) -> bytes:
    """An encoded colour picture, of noise."""
    return png(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))
