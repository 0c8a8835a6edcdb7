"""Decoded pictures on their way into a pack: a gigabyte in memory at most, the rest in a temporary file."""

import tempfile
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from fer.faces.framing import square

IN_MEMORY = 1 << 30  # bytes


class PictureSpool:
    """Takes pictures one by one and writes them as one array, once their common shape is known."""

    def __init__(self) -> None:
        self.file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, prefix="fer-")  # noqa: SIM115 - closed in __exit__
        self.shapes: list[tuple[int, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __len__(self) -> int:
        return len(self.shapes)

    def append(self, picture: np.ndarray) -> None:
        """Take a picture: uint8 [H, W] or [H, W, 3]."""
        self.file.write(picture.tobytes())
        self.shapes.append(picture.shape)

    @property
    def uniform(self) -> bool:
        """Whether all pictures have one size, and keep it."""
        return len({shape[:2] for shape in self.shapes}) == 1

    def save(self, path: Path, store_size: int) -> tuple[int, ...]:
        """Write `.npy`: colour if most pictures have some, native size where uniform, else central squares.

        Args:
            path: uint8 [N, H, W] or [N, H, W, 3] goes there.
            store_size: side of the squares where sizes differ, pixels.

        Returns:
            The shape of the array.
        """
        colour = 2 * sum(len(shape) == 3 for shape in self.shapes) > len(self.shapes)
        size = self.shapes[0][:2] if self.uniform else (store_size, store_size)
        shape = (len(self.shapes), *size, *((3,) if colour else ()))
        self.file.seek(0)
        with path.open("wb") as file:  # not memory-mapped: on a full disk that would end the process
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for own in self.shapes:
                picture = np.frombuffer(self.file.read(int(np.prod(own))), np.uint8).reshape(own)
                if colour and picture.ndim == 2:
                    picture = np.repeat(picture[..., None], 3, axis=2)
                elif not colour and picture.ndim == 3:
                    picture = np.asarray(Image.fromarray(picture).convert("L"))
                file.write((picture if picture.shape[:2] == size else square(picture, store_size)).tobytes())
        return shape
