"""Runs commands of scripts/ in forks of one process that has imported what they need, each disturbed as is asked.

Started by `commands.Forge`; a JSON object a line on standard input asks for a command, one on standard output answers.
"""

import ctypes
import json
import os
import runpy
import signal
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def warm(packages: list[str]) -> None:
    """Import these packages of `fer`, module by module, and with them what the commands import."""
    for package in packages:
        for path in sorted((ROOT / "fer" / package).rglob("*.py")):
            if path.name == "runner.py":  # which runs in a bundle only
                continue
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))


def child(ask: dict, library: ctypes.CDLL | None) -> None:
    """Run a command; ends this process."""
    os.setsid()
    os.chdir(ask["cwd"])
    output = os.open(ask["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (open(handle, "w", buffering=1, closefd=False) for handle in (1, 2))  # noqa: SIM115
    sys.argv = [f"{ask['script']}.py", *ask["overrides"]]
    status = 0
    if library is not None and "call" in ask:
        library.fault_arm(*(os.fsencode(ask["below"]), ask["call"], ask["errno"], os.fsencode(ask.get("notes", ""))))
    try:
        runpy.run_path(str(ROOT / "scripts" / f"{ask['script']}.py"), run_name="__main__")
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 70
    import atexit

    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status)


def answer(ask: dict, library: ctypes.CDLL | None) -> dict:
    started = time.monotonic()
    process = os.fork()
    if not process:
        child(ask, library)
    limit = ask.get("kill_after", ask.get("timeout", 120))
    timer = threading.Timer(limit, lambda: os.killpg(process, signal.SIGKILL))
    timer.start()
    _, status = os.waitpid(process, 0)
    timer.cancel()
    return {"status": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - started}


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "training")]
    warm(sys.argv[1:])
    preloaded = ctypes.CDLL(os.environ["LD_PRELOAD"]) if "LD_PRELOAD" in os.environ else None
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), preloaded)), flush=True)
    os._exit(0)
