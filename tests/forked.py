"""What needs a process of its own, in a fork of that of the tests, which has imported what takes others seconds."""

import logging
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

ROOT = Path(__file__).resolve().parents[1]


def run_script(
    script: str, *words: str, folder: Path, project: Path = ROOT, seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run `python scripts/<script>.py <words>`; what it starts in turn finds the callbacks of `tests/training`.

    Args:
        script: of `project/scripts`, without `.py`.
        words: of the command line.
        folder: where it runs.
        project: a copy of this project, whose `fer` is then imported anew.
        seconds: after which it is killed.
    """
    path = project / "scripts" / f"{script}.py"

    def command() -> None:
        os.chdir(folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (project, ROOT / "tests" / "training")))
        if project != ROOT:
            sys.path.insert(0, str(project))
            forget_modules("fer")
        sys.argv = [str(path), *words]
        runpy.run_path(str(path), run_name="__main__")

    return in_fork(command, seconds)


def forget_modules(*packages: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


def in_fork(act: Callable[[], object], seconds: float = 300) -> subprocess.CompletedProcess[str]:
    """Call a function in a fork of this process: how that ended, and what it printed."""
    import pytorch_lightning  # noqa: F401
    import timm  # noqa: F401

    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = os.fork()
        if not process:
            _call(act, out.fileno(), err.fileno())
        timer = threading.Timer(seconds, os.kill, (process, signal.SIGKILL))
        timer.start()
        _, status = os.waitpid(process, 0)
        timer.cancel()
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read())
    return subprocess.CompletedProcess((), os.waitstatus_to_exitcode(status), *printed)


def _call(act: Callable[[], object], *output: int) -> NoReturn:
    """Ends the fork; of the tests it keeps imported modules alone."""
    status = 1
    try:
        for number, file in enumerate(output, 1):
            os.dup2(file, number)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logging.root.handlers.clear()
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        act()
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
