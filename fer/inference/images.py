"""Pictures as Python programs hold them -> pixels."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from fer.errors import PictureError
from fer.faces.pictures import grey_if_grey, picture_pixels, read_picture

CHANNELS = (1, 3, 4)
Picture = str | PathLike[str] | Image.Image | np.ndarray | Tensor


def listed(images: Any) -> Sequence[Any]:
    """One picture or several -> several. Stacks have four axes; of arrays also three, [N, H, W]."""
    if isinstance(images, str | PathLike | Image.Image):
        return [images]
    if isinstance(images, np.ndarray):
        stack = images.ndim == 4 or (images.ndim == 3 and images.shape[2] not in CHANNELS)
        return list(images) if stack else [images]
    if isinstance(images, Tensor):
        return list(images) if images.ndim == 4 else [images]
    return list(images)


def as_pixels(image: Picture) -> np.ndarray:
    """uint8 [H, W], or [H, W, 3] (RGB) where the channels differ.

    Args:
        image: a path, a PIL image, an array [H, W] or [H, W, C], a tensor [H, W] or [C, H, W]; C is 1, 3 or 4.

    Raises:
        PictureError: unreadable, or of another shape or kind of numbers.
    """
    if isinstance(image, str | PathLike):
        try:
            return read_picture(Path(image))
        except PictureError as error:
            raise PictureError(f"{image} cannot be read: {error}") from error
    if isinstance(image, Image.Image):
        try:
            return picture_pixels(image)
        except Exception as error:  # Pillow decodes late, and its decoders raise nearly anything
            raise PictureError(f"a PIL image cannot be read: {error}") from error
    if isinstance(image, Tensor):
        tensor = image.detach().cpu()
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        return _array_pixels((tensor.permute(1, 2, 0) if tensor.ndim == 3 else tensor).numpy())
    if isinstance(image, np.ndarray):
        return _array_pixels(image)
    raise PictureError(f"a {type(image).__name__} is no picture: give a path, PIL image, array or tensor")


def _array_pixels(array: np.ndarray) -> np.ndarray:
    """uint8 [H, W], or [H, W, 3] where the channels differ."""
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in CHANNELS or array.size == 0:
        raise PictureError(f"an array of shape {list(array.shape)} is no picture: [H, W], or C of 1, 3 or 4 channels")
    levels = _eight_bits(array)
    if channels == 4:
        return picture_pixels(Image.fromarray(levels))
    if channels == 3:
        return grey_if_grey(np.ascontiguousarray(levels))
    return np.ascontiguousarray(levels.reshape(array.shape[:2]))


def _eight_bits(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    low, high = float(array.min()), float(array.max())
    fractions = bool(np.issubdtype(array.dtype, np.floating))
    top = 1 if fractions else 255
    if not (low >= 0 and high <= top):
        raise PictureError(
            f"an array of {array.dtype} from {low:g} to {high:g} is no picture: its values go from 0 to {top}"
        )
    return np.rint(array * (255 if fractions else 1)).astype(np.uint8)
