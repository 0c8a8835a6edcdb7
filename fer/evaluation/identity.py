"""What makes a result this one: the data by their digests, the code by its commit, the versions and threads."""

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

import fer
from fer.data.pack import Pack

PACKAGES = ("torch", "pytorch-lightning", "timm", "torchmetrics", "numpy")  # whose versions change numbers
PROJECT = Path(fer.__file__).resolve().parent.parent


def data_facts(pack: Pack) -> dict[str, Any]:
    """What was evaluated, by the names of `metrics.json`: digest of the pack, and what it was made from."""
    source = pack.manifest["source"]
    name, digest = PurePath(str(source.get("path") or "unknown source")).name, source.get("sha256")
    return {"pack_sha256": pack.sha256, "data_source": f"{name}, SHA-256 {digest[:12]}" if digest else name}


def images_digest(names: np.ndarray, labels: np.ndarray) -> str:
    """SHA-256 of which images were tested, and by which labels, in any order.

    Args:
        names: str [N].
        labels: emotions, str [N].
    """
    lines = sorted(f"{name}\t{label}" for name, label in zip(names.tolist(), labels.tolist(), strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def code_facts() -> dict[str, Any]:
    """Commit and versions, by the names of `metrics.json`; the commit is None where the code is in no repository."""
    commit, dirty = _commit()
    return {"commit": commit, "dirty": dirty, "versions": _versions(), "threads": torch.get_num_threads()}


@cache
def _commit() -> tuple[str | None, bool | None]:
    """The commit of this project, and whether its tracked files differ from it; as of the first question."""
    if _git("ls-files", "--error-unmatch", "fer/__init__.py") is None:  # another project's repository around us
        return None, None
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def _git(*arguments: str) -> str | None:
    """What git answers; None where it cannot."""
    try:
        found = subprocess.run(
            ["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None


@cache
def _versions() -> str:
    found = [f"fer {fer.__version__}", f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
