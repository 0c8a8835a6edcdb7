"""Pictures of any format -> pixels. Packing and prediction share this."""

import io
import os
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fer.errors import PictureError

# Formats that Pillow decodes by itself, HEIF with pillow-heif; EPS, for one, would start another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF")
# How the names of pictures end.
PICTURES: tuple[str, ...] = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")
PICTURES += (".pgm", ".ppm", ".pnm", ".jp2", ".avif", ".mpo", ".heic", ".heif")
MAX_PIXELS = 90_000_000  # pixels; a picture of more is refused before it is decoded
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


def read_picture(path: Path | str) -> np.ndarray:
    """Decode a picture file: uint8 [H, W], or [H, W, 3] (RGB) where its channels differ.

    Raises:
        PictureError: it cannot be read; the line says why, without the path.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe would wait for ever
            raise PictureError("not a file")
        with open(path, "rb") as file:
            return decode_picture(file)
    except OSError as error:
        raise PictureError(error.strerror or str(error)) from error
    except ValueError as error:  # a path with a null byte
        raise PictureError(str(error)) from error


def decode_picture(content: bytes | IO[bytes]) -> np.ndarray:
    """Decode a picture, the first where there are several, upright as its EXIF says, transparency over white.

    Args:
        content: an encoded picture, or a file at its start.

    Returns:
        uint8 [H, W], or [H, W, 3] (RGB) where its channels differ; grey levels of 16 bits keep the upper 8 of the
        bits that they use: 8, 12 (as scientific cameras do) or 16.

    Raises:
        PictureError: no picture, a damaged one, or one of more than MAX_PIXELS pixels; the line says why.
    """
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        with Image.open(file, formats=_formats()) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise PictureError(f"{width}x{height} pixels, over the limit of {MAX_PIXELS // 1_000_000} million")
            return picture_pixels(picture)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(_not_an_image(file)) from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"more pixels than the limit of {MAX_PIXELS // 1_000_000} million") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged pictures
        raise PictureError(" ".join(str(error).split()) or type(error).__name__) from error


def picture_pixels(picture: Image.Image) -> np.ndarray:
    """The pixels of an opened picture: uint8 [H, W], or [H, W, 3] (RGB) where its channels differ."""
    picture = _upright(picture)
    if picture.mode in SIXTEEN_BIT:  # convert would clip all but the darkest levels to white
        return _upper_bits(np.asarray(picture))
    if picture.mode in ("I", "F"):
        return _eight_bits(np.asarray(picture))
    if picture.has_transparency_data:
        return grey_if_grey(_over_white(picture.convert("RGBA")))
    if picture.mode in ("L", "1"):
        return np.asarray(picture.convert("L"))
    return grey_if_grey(np.asarray(picture.convert("RGB")))


def grey_if_grey(colours: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3], or its first channel, [H, W], where the three are equal."""
    first = colours[..., 0]
    if (first == colours[..., 1]).all() and (first == colours[..., 2]).all():
        return np.ascontiguousarray(first)
    return colours


@cache
def _formats() -> list[str]:
    """Those of FORMATS that this Pillow has."""
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _not_an_image(file: IO[bytes]) -> str:
    """Why no decoder takes a file; telephones' HEIC is an image after all."""
    file.seek(0)
    head = file.read(12)
    if head[4:8] == b"ftyp" and head[8:] in HEIC_BRANDS and "HEIF" not in _formats():
        return 'HEIC, which pip install "fer-experiments[heic]" makes readable; or convert it to JPEG'
    return "not an image"


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # EXIF is often damaged where the picture is not
        picture.load()
        return picture


def _over_white(picture: Image.Image) -> np.ndarray:
    white = Image.new("RGBA", picture.size, "white")
    return np.asarray(Image.alpha_composite(white, picture).convert("RGB"))


def _upper_bits(levels: np.ndarray) -> np.ndarray:
    """Levels of 16 bits, of which a picture may use 8 or 12: the upper 8 of those, uint8."""
    used = next(bits for bits in (8, 12, 16) if int(levels.max(initial=0)) < 1 << bits)
    return (levels >> (used - 8)).astype(np.uint8)


def _eight_bits(levels: np.ndarray) -> np.ndarray:
    """Levels of 32 bits: fractions, 8 or 16 bits by their largest, anything else stretched to the full range."""
    levels = np.nan_to_num(levels.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(levels.min(initial=0)), float(levels.max(initial=0))
    if low < 0 or high > 65535:
        levels, high = levels - low, high - low
        scale = high / 255 or 1.0
    else:
        scale = 1 / 255 if high <= 1 else 1.0 if high <= 255 else 257.0
    return np.rint(levels / scale).clip(0, 255).astype(np.uint8)
