"""The page as a folder of files that any web host serves: the browser runs the model, and pictures never leave it."""

import json
import os
import tempfile
from importlib.resources import files
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from fer.errors import ConfigError, ExportError
from fer.evaluation.trained_model import load_trained
from fer.export.bundle import FACTS, MODEL
from fer.export.card import model_card
from fer.export.export import export
from fer.faces import yunet
from fer.inference.page.answer import CERTAINTY, UNLIKE, about
from fer.inference.page.runtime import NAME, VERSION, runtime
from fer.models.shipped import DEFAULT

SHARED = ("page.css", "page.js", "table.js", "view.js")  # with the page that a program serves
OWN = ("answers.js", "detector.js", "framing.js", "pixels.js", "worker.js")  # in `static/`
ABOUT, YUNET, RUNTIME = "about.json", "yunet.onnx", "ort"
KNOWN = ("index.html", ABOUT, FACTS)  # a folder with these is of an earlier export
CHECKED_IMAGES = 64  # test images on which the exported network is compared with the original
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data: blob:; media-src blob:; base-uri 'none'; form-action 'none'"
)
HEAD = f"""<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="referrer" content="no-referrer">
"""
LOADING = """Loading … If this stays: browsers load the parts of a page from web hosts only, not from a file. In its
    folder, python -m http.server shows it at http://127.0.0.1:8000."""
PRIVACY = (
    "Pictures and camera frames stay in this browser, which runs the model itself: the page sends nothing "
    "anywhere, and stores nothing."
)
LICENCES = """The network that finds faces (yunet.onnx) is YuNet:

{yunet}
{name} {version} (ort/) is Copyright (c) Microsoft Corporation, under the same MIT License.

What the model (model.onnx) may be used for: README.md.
"""


def write_static_page(
    folder: Path | str,
    checkpoint: str | None = None,
    precision: str = "fp16",
    source: str | None = None,
    own_network: DictConfig | None = None,
) -> None:
    """Write a folder with a page that predicts in the browser; it is whole or absent, and replaces an older one.

    Args:
        folder: to make.
        checkpoint: see `fer.evaluation.trained_model.load_trained`; None is the model that ships.
        precision: of the network's file: fp32, fp16 or int8.
        source: see `runtime`.
        own_network: config of the network, where it is not one of timm's.

    Raises:
        FERError: a folder of something else, no onnxruntime-web, a model that cannot be exported.
    """
    folder = Path(folder)
    _refuse_foreign(folder)
    parts = {f"{RUNTIME}/{name}": content for name, content in runtime(source).items()}
    facts = {**about(load_trained(checkpoint or DEFAULT, own_network)), "certainty": CERTAINTY, "unlike": UNLIKE}
    facts |= {"privacy": PRIVACY, "most": "they stay in this browser"}
    parts |= _page_files() | {ABOUT: json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False).encode()}
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=f".{folder.name}.") as place:
            bundle, new = Path(place, "bundle"), Path(place, "new")
            results = export(
                checkpoint, "bundle", precision, str(bundle), CHECKED_IMAGES, None, own_network, shown=False
            )
            parts |= {name: (bundle / name).read_bytes() for name in (MODEL, FACTS)}
            parts["README.md"] = model_card({**results, "format": "page"}).encode()
            for name, content in parts.items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes(content)
            _refuse_foreign(folder)
            if folder.exists():
                os.replace(folder, Path(place, "old"))
            os.rename(new, folder)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written ({error.strerror or error}); give another export=") from error
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    difference = results["max_probability_difference"]
    Console().print(
        f"{folder}: {total / 1e6:.0f} MB for any web host, probabilities within {difference:.1e} of the original's; to "
        f"look at it: python -m http.server -d {folder}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _refuse_foreign(folder: Path) -> None:
    """Raises ConfigError where something else is there."""
    if folder.is_dir() and (not any(folder.iterdir()) or all((folder / name).is_file() for name in KNOWN)):
        return
    if folder.exists():
        raise ConfigError(f"export={folder} holds something else; give a new or empty folder")


def _page_files() -> dict[str, bytes]:
    ours, faces = files(__package__), files(yunet.__name__)
    parts = {name: ours.joinpath(name).read_bytes() for name in SHARED}
    parts |= {name: ours.joinpath("static", name).read_bytes() for name in OWN}
    page = ours.joinpath("index.html").read_text(encoding="utf-8")
    parts["index.html"] = page.replace("<title>", f"{HEAD}<title>", 1).replace("Loading …", LOADING, 1).encode()
    licence = faces.joinpath("LICENSE").read_text(encoding="utf-8")
    parts["LICENSES.txt"] = LICENCES.format(yunet=licence, name=NAME, version=VERSION).encode()
    return parts | {YUNET: faces.joinpath(yunet.MODEL).read_bytes()}
