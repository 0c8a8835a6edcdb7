"""Whatever stops the writing of a pack: none of it is left, the older one is whole, and the same call then succeeds."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from given import content_of, entries

from fer.data.build_pack import build_pack
from fer.data.pack import open_pack
from fer.errors import DataError

CALLS = [
    "tempfile.mkdtemp",
    "os.replace",
    "os.rename",
    "os.fsync",
    "os.chmod",
    "pathlib.Path.write_bytes",
    "numpy.save",
]


class FailsOnce:
    """A call of the system that fails the n-th time."""

    def __init__(self, call, number: int, code: int) -> None:
        self.call, self.number, self.code = call, number, code
        self.count, self.failed = 0, False

    def __get__(self, instance, _):
        return lambda *arguments, **options: self(instance, *arguments, **options)

    def __call__(self, *arguments, **options):
        self.count += 1
        if self.count == self.number:
            self.failed = True
            raise OSError(self.code, os.strerror(self.code))
        return self.call(*arguments, **options)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("older", [True, False])
def test_each_call_failing_once_leaves_no_half_pack(call, number, older, tmp_path, small, monkeypatch):
    root = tmp_path / "packs"
    whole = content_of(build_pack(tmp_path / "undisturbed", "faces", str(small)))
    if older:
        build_pack(root, "faces", str(small))
    place, _, name = call.rpartition(".")
    owner = sys.modules.get(place) or __import__("pathlib").Path
    failing = FailsOnce(getattr(owner, name), number, errno.ENOSPC)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, failing)
        try:
            build_pack(root, "faces", str(small))
        except DataError as error:
            assert "cannot be written" in str(error)
            assert failing.failed
            assert entries(root) in ([], ["faces"]) if root.exists() else not older
            assert older is ((root / "faces").exists())
    if older:
        open_pack(root / "faces")
    assert content_of(build_pack(root, "faces", str(small))) == whole
    assert entries(root) == ["faces"]


SCRIPT = """
import json, resource, sys
from pathlib import Path
from fer.data.build_pack import build_pack
from fer.errors import FERError
root, source = Path(sys.argv[1]), sys.argv[2]
told = []
for limit in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        build_pack(root, "faces", source)
    except (FERError, OSError) as error:
        told.append(str(error))
    left = [entry.name for entry in root.iterdir()] if root.exists() else []
    assert left == [], left
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
build_pack(root, "faces", source)
print(json.dumps(told))
"""


def test_a_disk_that_is_full_at_any_byte_leaves_no_pack(tmp_path, small):
    whole = build_pack(tmp_path / "undisturbed", "faces", str(small))
    sizes = [file.stat().st_size for file in whole.iterdir()]
    limits = sorted({0, 1, *(size - 1 for size in sizes), *np.linspace(1, max(sizes) - 1, 12).astype(int).tolist()})
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "packs", small, *map(str, limits)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told) == len(limits)
    assert all("File too large" in line for line in told)
    assert content_of(tmp_path / "packs" / "faces") == content_of(whole)
