"""`format=bundle`: a folder that finds faces and names their expressions, without this project and without PyTorch."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from fer.faces import yunet
from fer.files import replacing, write_json

MODEL, FACTS, RUNNER = "model.onnx", "bundle.json", "run.py"
NEEDS = "onnxruntime\nnumpy\nopencv-python-headless>=4.8\n"
FACES = "faces"  # the folder of the modules within a bundle
MODULES = ("__init__", "box", "detector", "framing", "resample", "yunet/__init__")  # of fer.faces
NAMES = ((r"\bfer\.faces\b", FACES), (r"\bfer\.errors\b", f"{FACES}.errors"))  # of packages, here and there


def write_bundle(folder: Path, content: bytes, results: dict[str, Any], card: str) -> None:
    """Write the network, and the very modules that find and cut faces here; the facts last.

    Args:
        folder: to write into.
        content: the network as ONNX.
        results: of the check.
        card: the model card.
    """
    ours = files("fer")
    parts = {MODEL: content, "README.md": card.encode(), "requirements.txt": NEEDS.encode()}
    for name in (yunet.MODEL, "LICENSE"):
        parts[f"{FACES}/yunet/{name}"] = ours.joinpath("faces", "yunet", name).read_bytes()
    sources = {f"{FACES}/{name}.py": f"faces/{name}.py" for name in MODULES}
    sources |= {f"{FACES}/errors.py": "errors.py", RUNNER: "export/runner.py"}
    for name, source in sources.items():
        text = ours.joinpath(*source.split("/")).read_text(encoding="utf-8")
        for here, there in NAMES:
            text = re.sub(here, there, text)
        parts[name] = text.encode()
    for name, part in parts.items():
        with replacing(folder / name, "wb") as file:
            file.write(part)
    write_json(folder / FACTS, results)
