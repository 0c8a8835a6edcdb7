"""Pictures of any format become the pixels that a viewer shows; what is no picture is said in one line."""

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer.errors import PictureError
from fer.faces.pictures import decode_picture, read_picture

GREY = np.arange(48 * 40, dtype=np.uint32).reshape(48, 40).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """The start of a PNG that says how large it is, and hardly more."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF", "PPM"])
def test_grey_stays_grey(form: str) -> None:
    assert np.array_equal(decode_picture(encoded(Image.fromarray(GREY), form)), GREY)


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_colour_stays_colour(form: str, options: dict[str, object]) -> None:
    assert np.array_equal(decode_picture(encoded(Image.fromarray(COLOUR), form, **options)), COLOUR)


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(form: str) -> None:
    smooth = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    decoded = decode_picture(encoded(Image.fromarray(smooth), form, quality=95))
    assert abs(decoded.reshape(64, 64, -1).mean(axis=2) - smooth).mean() < 3


def test_pictures_of_telephones_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_picture(encoded(Image.fromarray(GREY), "PNG"))  # registers the format
    smooth = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    content = encoded(Image.fromarray(smooth).convert("RGB"), "HEIF", quality=95)
    assert abs(decode_picture(content).reshape(64, 64, -1).mean(axis=2) - smooth).mean() < 3
    monkeypatch.setattr("fer.faces.pictures._formats", lambda: ["JPEG", "PNG"])
    with pytest.raises(PictureError, match=r"HEIC, which pip install .*\[heic\]"):
        decode_picture(content)


def test_equal_channels_are_grey() -> None:
    assert decode_picture(encoded(Image.fromarray(GREY).convert("RGB"), "PNG")).ndim == 2


def test_palettes_and_cmyk_are_colours() -> None:
    flags = Image.fromarray(np.repeat([[[255, 0, 0], [0, 0, 255]]], 20, axis=0).astype(np.uint8))
    assert np.array_equal(decode_picture(encoded(flags.convert("P"), "PNG")), np.asarray(flags))
    inked = decode_picture(encoded(flags.resize((64, 64), 0).convert("CMYK"), "JPEG", quality=95, subsampling=0))
    assert abs(inked[32, 8].astype(int) - [255, 0, 0]).max() < 12
    assert abs(inked[32, 56].astype(int) - [0, 0, 255]).max() < 12


def test_pictures_stand_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side: shown turned clockwise
    content = encoded(Image.fromarray(GREY), "PNG", exif=exif)
    assert np.array_equal(decode_picture(content), np.rot90(GREY, -1))


def test_transparency_shows_white() -> None:
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[:2] = (0, 0, 0, 255)
    decoded = decode_picture(encoded(Image.fromarray(picture), "PNG"))
    assert (decoded[:2] == 0).all()
    assert (decoded[2:] == 255).all()


def test_sixteen_and_thirty_two_bits_keep_their_order() -> None:
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    assert np.array_equal(decode_picture(encoded(Image.fromarray(levels), "PNG")), (levels >> 8).astype(np.uint8))
    for bits in (8, 12):  # of which only so many are in use
        used = levels >> (16 - bits)
        assert np.array_equal(decode_picture(encoded(Image.fromarray(used), "PNG")), (levels >> 8).astype(np.uint8))
    fractions = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    assert np.array_equal(decode_picture(encoded(Image.fromarray(fractions), "TIFF")).ravel(), np.arange(256))


def test_an_animation_shows_its_first_picture() -> None:
    frames = [Image.fromarray(np.full((20, 20), level, np.uint8)) for level in (10, 200)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode_picture(content) == 10).all()


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("side", [12_000, 30_000])
def test_a_giant_is_refused_before_it_is_decoded(side: int) -> None:
    with pytest.raises(PictureError, match="limit of 90 million"):
        decode_picture(png_of_size(side, side))


def test_what_is_no_picture_is_said(tmp_path: Path) -> None:
    archive = tmp_path / "archive.jpg"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inner.txt", "text")
    with pytest.raises(PictureError, match="not an image"):
        read_picture(archive)
    whole = encoded(Image.fromarray(COLOUR), "JPEG")
    with pytest.raises(PictureError, match=r"(?i)truncated"):
        decode_picture(whole[: len(whole) // 2])
    with pytest.raises(PictureError, match="not an image"):
        decode_picture(b"")
    with pytest.raises(PictureError, match="not an image"):  # decoding it would start Ghostscript
        decode_picture(encoded(Image.fromarray(COLOUR), "EPS"))


def test_only_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    for name, reason in (("pipe.jpg", "not a file"), ("circle.jpg", "symbolic links"), ("gone.jpg", "No such file")):
        with pytest.raises(PictureError, match=reason):
            read_picture(tmp_path / name)
