"""Which arguments a class or function takes, read from its source: importing torch would take seconds."""

import ast
import importlib.util
from functools import lru_cache
from pathlib import Path

MAX_STEPS = 8  # from one module to the next


@lru_cache
def parameters_of(target: str) -> tuple[str, ...] | None:
    """Names of the arguments of a `_target_`.

    Returns:
        None where the source does not say: it cannot be found, is written in C, or takes any keyword.
    """
    module, _, name = target.rpartition(".")
    found = _definition(module, name, MAX_STEPS) if module else None
    if isinstance(found, ast.ClassDef):
        found = next(
            (node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None
        )
    if not isinstance(found, ast.FunctionDef) or found.args.kwarg is not None:
        return None
    arguments = [argument.arg for argument in (*found.args.posonlyargs, *found.args.args, *found.args.kwonlyargs)]
    return tuple(name for name in arguments if name != "self")


def _definition(module: str, name: str, steps: int) -> ast.ClassDef | ast.FunctionDef | None:
    """Where a name is defined, along imports from one module to the next."""
    file = _file(module)
    if file is None or steps == 0:
        return None
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _definition(_absolute(node, module, file), alias.name, steps - 1)
    return None


def _file(module: str) -> Path | None:
    """The source of a module, found without importing the packages above it."""
    root, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin.endswith(".py") else None
    place = Path(spec.origin).parent.joinpath(*rest)
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()), None)


def _absolute(node: ast.ImportFrom, module: str, file: Path) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    base = package[: len(package) - (node.level - 1)]
    return ".".join([*base, *([node.module] if node.module else [])])
