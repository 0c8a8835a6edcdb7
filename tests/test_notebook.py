"""The Colab notebook, run as a user runs it: killed in the middle of training, and its cells run again."""

import csv
import json
import os
import re
import runpy
import shlex
import signal
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
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
        "FER_SWEEP": " ".join([*tiny_overrides, "trainer.max_epochs=1", "augment=none,light", "logger=none"]),
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


def test_its_cells_run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process: without TensorBoard, and of the sweep the config of its first run alone."""

    def shell(line: str) -> None:
        _, script, *words = shlex.split(line)
        if words[0] == "-m":
            words = ["--cfg", "job", *(word.split(",")[0] for word in words[1:])]
        monkeypatch.setattr(sys, "argv", [script, *words])
        try:
            runpy.run_path(script, run_name="__main__")
        finally:
            GlobalHydra.instance().clear()
            HydraConfig.instance().cfg = None

    names: dict[str, Any] = {"shell": shell}
    for cell in nbformat.read(ROOT / "notebooks" / "colab.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            lines = [re.sub(r"^( *)!(.*)$", r"\1shell(f'\2')", line) for line in cell.source.splitlines()]
            exec(compile("\n".join(line for line in lines if not line.startswith("%")), "cell", "exec"), names)
    check_photo(home)
    assert (home / "runs" / "first" / "metrics.json").exists()
    out = capsys.readouterr().out
    assert "test accuracy" in out
    assert "backbone: test_resnet" in out.split("test accuracy")[1]  # the config of the sweep's first run


def check_photo(home: Path) -> None:
    with (home / "photo" / "predictions.csv").open(newline="") as file:
        (face,) = csv.DictReader(file)  # the photo has one
    assert float(face["face_score"]) > 0.8


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.mark.slow
def test_the_notebook_survives_its_runtime(home: Path) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "colab.ipynb", as_version=4)
    cells = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    (train,) = (cell for _, cell in cells if "hydra.run.dir" in cell.source)
    client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(home.parent)}})
    with client.setup_kernel():
        for index, cell in cells:
            if cell is train:
                train_through_a_kill(client, cell, index, home / "runs" / "first")
            else:
                client.execute_cell(cell, index)
    shown = {key for _, cell in cells for output in cell.outputs for key in output.get("data", {})}
    assert {"image/png", "image/jpeg", "text/html", "text/markdown"} <= shown
    check_photo(home)
    compared = next(cell for _, cell in cells if "-m {SWEEP}" in cell.source).outputs[-1]["data"]["text/markdown"]
    assert {"augment=none", "augment=light"} <= set(re.findall(r"augment=\w+", compared))
    assert len(list((home / "runs" / "sweep").glob("*/metrics.json"))) == 2


def train_through_a_kill(client: NotebookClient, train: nbformat.NotebookNode, index: int, run: Path) -> None:
    """The training cell, whose process is killed, then run again, then run when there is nothing left to do."""
    source = train.source
    train.source = source.replace("scripts/train.py {OVERRIDES}", "scripts/train.py {OVERRIDES} '{os.environ['KILL']}'")
    assert train.source != source
    client.execute_cell(train, index)
    assert (run / "checkpoints" / "last.ckpt").exists(), printed(train)
    assert not (run / "metrics.json").exists()
    train.source = source
    client.execute_cell(train, index)
    assert (run / "metrics.json").exists()
    client.execute_cell(train, index)
    assert printed(train).startswith("finished:")


def test_without_a_project_the_notebook_says_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "colab.ipynb", as_version=4)
    (install,) = (cell.source for cell in notebook.cells if "importlib" in cell.source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FER_PROJECT", raising=False)
    plain = re.sub(r"^( *)!.*$", r"\1raise AssertionError('nothing is to be run')", install, flags=re.MULTILINE)
    with pytest.raises(SystemExit, match="address of the project in REPOSITORY"):
        exec(compile(plain, "install", "exec"), {})
    with zipfile.ZipFile(tmp_path / "fer-experiments.zip", "w") as archive:
        archive.writestr("fer-experiments-main/scripts/train.py", "")
    names: dict[str, Any] = {}
    exec(compile(plain, "install", "exec"), names)
    assert names["PROJECT"] == tmp_path / "unpacked" / "fer-experiments-main"
