"""README and docs cannot lie: each command in them is composed and checked; slow tests run some of them."""

import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import open_dict
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fer.cli.app import CONF
from fer.cli.arguments import understood
from fer.config.check import check_config, check_hydra
from fer.sweeps.sweeper import register_sweepers
from tests.composing import composed

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TYPED = ("python ", "pip ", "pytest", "ruff ", "mypy", "lint-imports", "tensorboard ", "mkdocs ", "eval ", "hf ")
# Commands of other tools: start -> where they are run, or why not
ELSEWHERE = {
    "pip install -e": "tests that follow check the extras; .ci/run installs dev",
    "pip install": "of a package index",
    "pytest": ".ci/run; tests that it names are checked to exist",
    "ruff ": ".ci/run",
    "mypy": ".ci/run",
    "lint-imports": ".ci/run",
    "mkdocs ": ".ci/run builds the site; serve only shows it",
    "tensorboard --logdir": "tests/test_notebook.py, with pytest -m slow",
    "eval ": "the shell asks Hydra itself",
    "python -m venv": "Python's own",
    "source .venv/": "the shell's own",
    "hf ": "needs an account",
    "python -m http.server": "tests/inference/test_static_page.py serves the folder so",
    "python export/bundle/run.py": "tests/export/test_bundle.py",
    "python -m tests.faces.measure_detector": "needs FER2013; it exists, as tests that follow check",
}
OF_A_RECIPE = {
    "data=postcards",
    "model=small",
    "loss=margin",
    "logger=json_lines",
}  # tests/test_contributing.py runs them
CUT_SHORT = re.compile(r"=$")  # `model=` and the tab key


def commands_in(text: str) -> Iterator[str]:
    """Commands in blocks of the shell and in code within lines, as they are typed, without comments."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            plain = shlex.join(shlex.split(line, comments=True)).replace("'&&'", "&&")
            yield from filter(None, (part.strip() for part in plain.split("&&")))
    for code in re.findall(r"(?<!`)`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if code.startswith(TYPED) and " " in code:
            yield from (part.strip() for part in code.split(" && "))


COMMANDS = sorted({(page.name, command) for page in PAGES for command in commands_in(page.read_text(encoding="utf-8"))})
OURS = sorted({command for _, command in COMMANDS if command.startswith("python scripts/")})


def test_every_command_is_one_that_is_checked_or_run() -> None:
    unknown = [
        f"{page}: {command}"
        for page, command in COMMANDS
        if command not in OURS and not command.startswith(tuple(ELSEWHERE))
    ]
    assert not unknown
    assert len(OURS) > 50
    ran = (ROOT / ".ci" / "run").read_text()
    assert all(
        command in ran for command in ("ruff check", "ruff format --check", "mypy", "lint-imports", "mkdocs build")
    )


@pytest.mark.parametrize("command", OURS)
def test_a_command_of_the_docs_is_accepted(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, *words = shlex.split(command)[1:]
    assert (ROOT / script).exists()
    if "--help" in words or any(map(CUT_SHORT.search, words)) or OF_A_RECIPE & set(words):
        return
    name = Path(script).stem
    monkeypatch.chdir(tmp_path)
    for overrides in jobs(understood(words, name, CONF)):
        cfg = composed(name, *overrides, hydra=True)
        check_hydra(cfg.hydra)
        with open_dict(cfg):
            cfg.hydra.runtime.output_dir = str(tmp_path)
        check_config(cfg, name, overrides, files=False)


@pytest.fixture(scope="module", autouse=True)
def sweepers() -> None:
    register_sweepers()


def jobs(words: list[str]) -> list[list[str]]:
    """The overrides of the first and the last job of a sweep; of what a search draws from, the lower bound."""
    overrides = [word for word in words if word not in ("-m", "--multirun")]
    parsed = OverridesParser.create().parse_overrides(overrides)
    plain = []
    for given, override in zip(overrides, parsed, strict=True):
        drawn = override.is_interval_sweep() if override.is_sweep_override() else False
        plain.append(f"{override.key_or_group}={override.value().start}" if drawn else given)
    (split,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(plain), None)
    return [list(split[0]), list(split[-1])] if len(split) > 1 else [plain]


def test_the_exact_install_pins_all_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {canonicalize_name(pin.name): next(iter(pin.specifier)) for pin in pinned}
    assert all(specifier.operator == "==" for specifier in versions.values())
    extras = project["optional-dependencies"]
    asked = [
        *project["dependencies"],
        *(line for name in ("parquet", "heic", "export", "dev", "docs") for line in extras[name]),
    ]
    for requirement in map(Requirement, asked):
        if requirement.name != project["name"]:
            assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)].version), requirement


def test_extras_and_tests_that_docs_name_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    for page, command in COMMANDS:
        for extras in re.findall(r"\.\[([\w,]+)\]", command):
            assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras.split(",")), (
                page,
                command,
            )
        named = re.findall(r"tests/[\w/]+\.py", command)
        named += [f"{module.replace('.', '/')}.py" for module in re.findall(r"-m (tests[\w.]+)", command)]
        for test in named:
            assert (ROOT / test).exists(), (page, command)


# Commands for which a run in small suffices
IN_SMALL = re.compile(
    r"python scripts/(compare.py runs=outputs|(evaluate|export).py checkpoint=outputs/DATE/TIME"
    r"|evaluate.py checkpoint=outputs/DATE/TIME tta=flip)"
)


@pytest.fixture(scope="module")
def small_world(tiny_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, by the name that the docs have for it."""
    from fer.training.train import train

    world = tmp_path_factory.mktemp("world")
    train(composed("train", *tiny_overrides, "trainer.max_epochs=1"), world / "outputs" / "DATE" / "TIME")
    return world


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in OURS if IN_SMALL.fullmatch(command)])
def test_a_command_of_the_docs_runs(command: str, small_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)[1:]
    monkeypatch.chdir(small_world)
    monkeypatch.setattr(sys, "argv", [str(ROOT / words[0]), *words[1:]])
    monkeypatch.setenv("FER_DATA_DIR", str(small_world / "data"))
    GlobalHydra.instance().clear()
    try:
        runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    finally:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
