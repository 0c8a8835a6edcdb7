"""Names of the files of a run folder stand in `fer/runs` alone; other modules ask `RunFolder` for paths."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import fer
from fer.runs.folder import RunFolder

PACKAGE = Path(fer.__file__).parent
PATHS = [path for path in vars(RunFolder("run")).values() if isinstance(path, Path) and path.name != "run"]
FILES = [path.name for path in PATHS if path.suffix]
FOLDERS = [path.name for path in PATHS if not path.suffix]
FILE_NAME = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, FILES))})(?![\w.-]*\w)")
# Files and folders of other places: of a prediction, of a comparison, and beside data
OTHER_PLACES = {
    ("inference/results.py", "predictions.csv"),
    ("comparison/figure_table.py", "figures"),
    ("comparison/compare.py", "groups.csv"),
    ("data/attributes.py", "groups.csv"),
    ("reporting/facts.py", "groups.csv"),
}


def names_in(source: str) -> Iterator[str]:
    """Names of files and folders of a run in the code of a module, docstrings left out."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield from FILE_NAME.findall(node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            yield from (name for name in FOLDERS if name == node.right.value)


def test_the_search_finds_names() -> None:
    assert {"metrics.json", "best.ckpt", "history.csv"} <= set(FILES)
    assert {"checkpoints", "figures"} <= set(FOLDERS)
    source = '"""About metrics.json."""\nread(folder / "metrics.json", f"{run}/best.ckpt", run / "figures")'
    assert sorted(names_in(source)) == ["best.ckpt", "figures", "metrics.json"]
    assert not list(names_in('render("report.html.j2", "tensorboard", place / "export")'))


def test_no_other_module_spells_a_file_name_of_a_run() -> None:
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE / "runs"
        for name in names_in(path.read_text(encoding="utf-8"))
    }
    assert not found - OTHER_PLACES
