"""docs/contributing.md cannot lie: its recipes are followed, word for word, in a copy of the project."""

import csv
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.forked import run_script

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "contributing.md"
STEP = re.compile(r"<!-- (create|insert|run): ?(.*?) ?-->\n+```\w*\n(.*?)```", re.DOTALL)
PLACE = re.compile(r"(\S+) (before|after) `(.+)`")


@dataclass
class Scratch:
    """A copy of the project in which every recipe of the page was followed."""

    folder: Path
    touched: dict[str, set[str]]  # recipe -> files created or changed

    def run(self, command: str) -> None:
        script, *words = command.removeprefix("python scripts/").split()
        done = run_script(script.removesuffix(".py"), *words, folder=self.folder, project=self.folder)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"

    @property
    def run_folder(self) -> Path:
        return self.folder / "outputs" / "mine"

    def metrics(self) -> dict:
        return json.loads((self.run_folder / "metrics.json").read_text())


def recipes() -> dict[str, list[tuple[str, str, str]]]:
    """Heading of each recipe -> its steps: what to do, where, and the text."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for section in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        if steps := STEP.findall(section):
            found[section.splitlines()[0]] = steps
    return found


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    folder = tmp_path_factory.mktemp("scratch")
    for part in ("fer", "conf", "scripts"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    project = Scratch(folder, {})
    commands = []
    for heading, steps in recipes().items():
        project.touched[heading] = set()
        for what, where, text in steps:
            if what == "run":
                commands += [line for line in text.splitlines() if line.strip()]
            elif what == "create":
                file = folder / where
                assert not file.exists(), f"{heading}: {where} exists already"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
                project.touched[heading].add(where)
            else:
                _insert(folder, where, text)
                project.touched[heading].add(where.split()[0])
    _postcards(folder / "my_faces")
    _fewer_drawn_faces(folder / "fer" / "data" / "datasets" / "drawn.py")
    for command in commands:
        project.run(command)
    return project


def _postcards(folder: Path) -> None:
    """A download in the layout of the recipe: twelve pictures and their list."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 48, 48), dtype=np.uint8)
    lines = []
    for number, face in enumerate(pixels):
        Image.fromarray(face).save(folder / f"{number:03d}.png")
        lines.append(f"{number:03d}.png {('happy', 'sad', 'fear')[number % 3]}\n")
    (folder / "postcards.txt").write_text("".join(lines), encoding="utf-8")


def _fewer_drawn_faces(file: Path) -> None:
    """`data=demo` with a tenth of its faces: drawing them all takes longer than training."""
    before, after = "faces: Counts = (4900, 700, 1050)", "faces: Counts = (490, 70, 105)"
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1
    file.write_text(text.replace(before, after), encoding="utf-8")


def _insert(folder: Path, where: str, text: str) -> None:
    match = PLACE.fullmatch(where)
    assert match, where
    file, line = folder / match[1], match[3]
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    places = [number for number, content in enumerate(lines) if content.strip() == line.strip()]
    assert len(places) == 1, f"{match[1]} has {len(places)} lines {line!r}"
    lines.insert(places[0] + (match[2] == "after"), text)
    file.write_text("".join(lines), encoding="utf-8")


def test_every_recipe_touches_as_few_files_as_it_says(scratch):
    most = {"A data set": 2, "A metric": 1, "A loss": 1, "A network": 1, "A figure": 1, "A logger": 1}
    assert set(most) <= set(scratch.touched)
    for heading, count in most.items():
        files = {name for name in scratch.touched[heading] if name.startswith(("fer/", "conf/"))}
        assert 1 <= len(files) <= count, (heading, files)


def test_a_data_set_is_read_by_its_own_layout(scratch):
    manifest = json.loads((scratch.folder / "data" / "postcards" / "manifest.json").read_text())
    assert manifest["dataset"] == "postcards"
    assert sum(sum(counts.values()) for counts in manifest["counts"].values()) == 12


def test_a_metric_is_in_every_summary(scratch):
    value = scratch.metrics()["test/cohen_kappa"]
    assert -1 <= value <= 1
    report = (scratch.run_folder / "report.html").read_text()
    assert "Cohen" in report
    with (scratch.run_folder / "comparison.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["test/cohen_kappa_mean"]) == pytest.approx(value)


def test_a_loss_of_torch_and_a_network_of_ones_own_train(scratch):
    config = (scratch.run_folder / "config.yaml").read_text()
    assert "torch.nn.MultiMarginLoss" in config
    assert "my_network.SmallNetwork" in config
    assert scratch.metrics()["parameters"] < 20_000


def test_a_figure_is_drawn_and_reported_with_its_caption(scratch):
    assert (scratch.run_folder / "figures" / "confidence.png").exists()
    assert "How sure the model is" in (scratch.run_folder / "report.html").read_text()


def test_a_logger_gets_the_numbers_of_each_epoch(scratch):
    (file,) = (scratch.run_folder / "json_log").glob("*.jsonl")
    logged = [json.loads(line) for line in file.read_text().splitlines()]
    assert any("val/accuracy" in numbers for numbers in logged)
