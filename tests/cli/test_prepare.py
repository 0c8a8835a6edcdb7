"""What the command prints."""

from io import BytesIO

import pytest
from PIL import Image, ImageFilter

from fer.cli.prepare import prepare
from fer.errors import ConfigError


def test_prepare_prints_what_the_pack_holds(tmp_path, small, write_folder, capsys):
    write_folder(small, {"odd [/name].txt": b"text"})
    prepare("faces", str(small), str(tmp_path), 48)
    printed = capsys.readouterr().out
    assert "6 images" in printed
    assert "happy" in printed
    assert "unknown" in printed  # subjects
    assert "left out: odd [/name].txt: not a picture" in printed


def test_prepare_without_a_source(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.source=PATH"):
        prepare("faces", None, str(tmp_path), 48)


def test_prepare_warns_of_a_split_blurrier_than_another(tmp_path, picture, write_folder, capsys):
    def blurred(content: bytes) -> bytes:
        file = BytesIO()
        Image.open(BytesIO(content)).filter(ImageFilter.GaussianBlur(3)).save(file, "PNG")
        return file.getvalue()

    sharp = {f"{split}/{emotion}/{number}.png": picture(number + 10 * (emotion == "sad"), (32, 32))
             for split in ("train", "test") for emotion in ("happy", "sad") for number in range(6)}  # fmt: skip
    damaged = {name: blurred(content) if name.startswith("train") else content for name, content in sharp.items()}
    prepare("whole", str(write_folder(tmp_path / "sharp", sharp)), str(tmp_path), 48)
    assert "blurrier" not in capsys.readouterr().out
    prepare("damaged", str(write_folder(tmp_path / "blurred", damaged)), str(tmp_path), 48)
    assert "train pictures are far blurrier than those of test" in " ".join(capsys.readouterr().out.split())
