"""Commands of scripts/, disturbed: by a disk that fails once, by SIGKILL; and whether what they leave is whole."""

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

HERE = Path(__file__).parent
# In names of what no two runs share
TIMES = {"seconds", "per_second", "memory_bytes", "timing", "milliseconds", "commit", "dirty"}
FREE = {"test_readings.csv", "status.json", "multirun.yaml"}  # ledgers of what was tried
KEPT = "photographs.npz"  # a result that is kept where it can be
DONE = ("finished already", "holds predictions already")  # said of what was killed after its last file
WRITES = "is being written by another"
KILL = -1


class Forge:
    """A process that has imported these packages of `fer`, and runs commands in forks of itself."""

    def __init__(self, library: Path | None, *packages: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        if library is not None:
            environment["LD_PRELOAD"] = str(library)
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "forge.py"), *packages],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process of the commands has ended"
        return json.loads(line)

    def run(self, script: str, *overrides: str, cwd: Path, **disturbed: Any) -> "Done":
        """Run a command to its end.

        Args:
            script: of scripts/, without `.py`.
            overrides: its command line.
            cwd: where it runs.
            disturbed: `kill_after` seconds; or `call`, the number of the writing call below `below` (cwd) that fails,
                `errno` (KILL ends the process there), `notes`, a file for the names of all calls.
        """
        output = cwd.parent / f"{cwd.name}.{self.process.pid}.output"
        ask = {"script": script, "overrides": overrides, "cwd": str(cwd), "output": str(output)}
        ask |= {"below": str(cwd), "errno": errno.ENOSPC, **disturbed}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(ask, default=str) + "\n")
        self.process.stdin.flush()
        done = self._answer()
        return Done(done["status"], output.read_text(errors="replace"), done["seconds"])

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Done:
    """How a command ended: its exit status (negative: the signal), what it printed, and its seconds."""

    def __init__(self, status: int, output: str, seconds: float) -> None:
        self.status, self.output, self.seconds = status, output, seconds

    def error(self) -> str:
        """The one line of a failure; "" where that is not how it ended."""
        lines = [line for line in self.output.splitlines() if line.startswith("error: ")]
        told = self.status == 1 and len(lines) == 1 and "Traceback" not in self.output
        return lines[0] if told else ""


@dataclass(frozen=True)
class Case:
    """A command, the folder before it, and what it leaves undisturbed."""

    script: str
    overrides: tuple[str, ...]
    before: Path
    whole: dict[str, Any]
    calls: list[str]  # that write, in order
    seconds: float

    def each_kind(self) -> list[int]:
        """Numbers of the first and the last call of each kind, from 1."""
        numbers: dict[str, list[int]] = {}
        for number, call in enumerate(self.calls, 1):
            numbers.setdefault(_kind(call), []).append(number)
        return sorted({number for of_kind in numbers.values() for number in (of_kind[0], of_kind[-1])})


def undisturbed(forge: Forge, folder: Path, before: Path | None, script: str, *overrides: str) -> Case:
    """Run a command undisturbed in a copy of `before` (an empty folder)."""
    start = folder / "before"
    start.mkdir(parents=True) if before is None else shutil.copytree(before, start)
    shutil.copytree(start, folder / "whole")
    notes = folder / "notes"
    done = forge.run(script, *overrides, cwd=folder / "whole", call=0, notes=notes)
    assert done.status == 0, done.output
    calls = notes.read_text(errors="replace").splitlines() if notes.exists() else []
    return Case(script, overrides, start, contents(folder / "whole"), calls, done.seconds)


def complaints(forge: Forge, case: Case, **disturbed: Any) -> list[str]:
    """What is wrong after a disturbed command, and after the same command again; nothing if all is well.

    A command that fails says so in one line and leaves no temporary file; whatever has its final name is whole; the
    same command again leaves what an undisturbed one does.
    """
    folder = case.before.parent / "disturbed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(case.before, folder)
    done = forge.run(case.script, *case.overrides, cwd=folder, **disturbed)
    killed = done.status == -signal.SIGKILL
    wrong = []
    if not killed:
        if done.status and not done.error():
            wrong.append(f"ended with {done.status}: {done.output[-1500:]}")
        unlinked = case.calls[disturbed.get("call", 1) - 1].startswith("unlink")  # which cannot be helped
        if (left := temporaries(folder)) and not unlinked:
            wrong.append(f"left {left}")
    if "is not noted" not in done.output:  # whose metrics do not count how often the test split was read
        wrong += _differences(folder, case.whole, all_there=done.status == 0)
    if done.status or "cannot be kept" in done.output:
        again = forge.run(case.script, *case.overrides, cwd=folder)
        if again.status and not any(word in again.output for word in DONE):  # whose files are compared all the same
            wrong.append(f"again ended with {again.status}: {again.output[-1500:]}")
        wrong += [f"again: {line}" for line in _differences(folder, case.whole, all_there=True)]
    if wrong:
        print(case.script, disturbed, case.calls[disturbed.get("call", 1) - 1], wrong, flush=True)
    return wrong


def complaints_of_two(forges: Sequence[Forge], case: Case, delay: float) -> list[str]:
    """What is wrong after two processes did the same in one folder, the second `delay` seconds later.

    One at least succeeds; one that does not says in a line that the other writes there, or has written; what they leave
    is what one of them leaves.
    """
    folder = case.before.parent / "shared"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(case.before, folder)

    def run(number: int) -> Done:
        time.sleep(number * delay)
        return forges[number].run(case.script, *case.overrides, cwd=folder)

    with ThreadPoolExecutor(len(forges)) as pool:
        both = list(pool.map(run, range(len(forges))))
    refused = [done for done in both if done.status]
    wrong = [done.output[-1500:] for done in refused if not any(word in done.error() for word in (*DONE, WRITES))]
    wrong += ["none succeeded"] * (len(refused) == len(both)) + [f"left {left}" for left in temporaries(folder)]
    return wrong + _differences(folder, case.whole, all_there=True)


def _differences(folder: Path, whole: dict[str, Any], all_there: bool) -> list[str]:
    try:
        found = contents(folder)
    except Exception as error:  # of many kinds: a broken file has its final name
        return [f"broken: {error!r}"]
    in_between = {"last.ckpt", "history.csv"}  # of a run that is not done
    wrong = [f"{name} differs" for name, said in found.items() if said != whole.get(name)]
    wrong = [line for line in wrong if all_there or Path(line.split(" ")[0]).name not in in_between]
    absent = sorted(whole.keys() - found.keys() - {name for name in whole if name.endswith(KEPT)}) if all_there else []
    return wrong + [f"{name} is missing" for name in absent]


def contents(folder: Path) -> dict[str, Any]:
    """What the files below a folder say, by relative path: equal where two commands did the same."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        free = path.name in FREE or path.suffix == ".log" or "tensorboard" in path.parts or re.search(r"(^|/)\.", name)
        if path.is_file() and not free:
            found[name] = content(path)
    return found


def content(path: Path) -> Any:
    """What a file says, without the times that it took.

    Raises:
        Exception: of many kinds: it is not whole.
    """
    raw = path.read_bytes()
    if path.suffix == ".ckpt":
        read = torch.load(io.BytesIO(raw), weights_only=True)
        return read["epoch"], {key: value.numpy().tobytes() for key, value in read["state_dict"].items()}
    if path.suffix == ".json":
        return _timeless(json.loads(raw))
    if path.suffix == ".html":
        assert raw.rstrip().endswith(b"</html>"), path
        return "a page"  # with times in it
    if path.suffix == ".csv" and path.name == "history.csv":
        return len(raw.splitlines())
    if path.suffix in (".png", ".jpg"):
        return np.asarray(Image.open(io.BytesIO(raw))).tobytes()
    if path.suffix == ".webm":  # which has numbers drawn by chance in its header
        return frames(path)
    return raw


def frames(path: Path) -> list[bytes]:
    """The frames of a video."""
    capture, found = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        found.append(read[1].tobytes())
    assert found, path
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if not any(word in key for word in TIMES)}
    return value


def temporaries(folder: Path) -> list[str]:
    """Files and folders that are only there while something is written."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name != ".lock"]


def _kind(line: str) -> str:
    call, _, path = line.partition(" ")
    path = re.sub(r"(^|/)(\.[^/]*\.)[a-z0-9_]{8}(?=/|$|\.)", r"\1\2*", path)
    return f"{call} {re.sub(r'[0-9]+', '#', path)}"
