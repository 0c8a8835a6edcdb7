"""The Colab notebook, run as a user runs it: killed in the middle of training, and its cell run again."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
KILL = "+callbacks.interrupt={_target_:interruptions.SignalAt,step:9,signal_name:SIGKILL}"


@pytest.fixture
def home(tmp_path: Path, tiny_overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that stands for the Drive, and the notebook's settings for a run of seconds."""
    environment = {
        "FER_PROJECT": str(ROOT),
        "FER_HOME": str(tmp_path / "drive"),
        "FER_OVERRIDES": " ".join([*tiny_overrides, "figures=true"]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "training")]),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "TMPDIR": str(tmp_path),
        "FER_DATA_DIR": "",
        "KILL": KILL,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield tmp_path / "drive"
    for info in tmp_path.glob(".tensorboard-info/pid-*.info"):
        os.kill(json.loads(info.read_text())["pid"], signal.SIGTERM)


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_notebook_survives_its_runtime(home: Path) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "colab.ipynb", as_version=4)
    cells = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    (training, train), *after = [entry for entry in cells if "scripts/train.py" in entry[1].source] + [
        entry for entry in cells if "metrics" in entry[1].source or "%tensorboard" in entry[1].source
    ]
    client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(home.parent)}})
    with client.setup_kernel():
        for index, cell in cells:
            if index < training:
                client.execute_cell(cell, index)
        source = train.source
        train.source = source.replace(
            "scripts/train.py {OVERRIDES}", "scripts/train.py {OVERRIDES} '{os.environ['KILL']}'"
        )
        assert train.source != source
        client.execute_cell(train, training)
        run = home / "runs" / "first"
        assert (run / "checkpoints" / "last.ckpt").exists(), printed(train)
        assert not (run / "metrics.json").exists()
        train.source = source
        client.execute_cell(train, training)
        assert (run / "metrics.json").exists()
        client.execute_cell(train, training)
        assert printed(train).startswith("finished:")
        for index, cell in after:
            if index > training:
                client.execute_cell(cell, index)
    shown = {key for _, cell in after for output in cell.outputs for key in output.get("data", {})}
    assert {"image/png", "text/html"} <= shown
