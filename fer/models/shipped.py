"""Weights that come with this package, found by a word and checked against their digest."""

import hashlib
from pathlib import Path

from fer.errors import WeightsError

DEFAULT = "fer2013"  # what answers where no other model is named
FOLDER = Path(__file__).parent / "shipped"
SHA256 = {  # word -> of FOLDER/<word>.safetensors, which `export.py format=safetensors precision=fp16` made
    "fer2013": "98c95b23708ca2442292111a673bb1561952cc547c827a3259f68bca9f9251ff",
}


def located(path: Path | str) -> Path:
    """The file that a word names; any other path as it is. A folder of your own called so is `./fer2013`.

    Raises:
        WeightsError: the file is missing from this installation, or is not what was shipped.
    """
    word = str(path)
    if word not in SHA256:
        return Path(path)
    file = FOLDER / f"{word}.safetensors"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise WeightsError(f"{file} cannot be read ({error.strerror}): install this package again") from error
    if hashlib.sha256(content).hexdigest() != SHA256[word]:
        raise WeightsError(f"{file} is not what was shipped (its SHA-256 differs): install this package again")
    return file


def is_shipped(path: Path | str) -> bool:
    """Whether a path is that of a file of ours."""
    return Path(path).parent == FOLDER
