"""A run as a process of its own: how it is started and stopped, and that it ends with whoever started it."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fer.cores import CORES
from fer.files import replacing

PARENT, DRIVER = "FER_PARENT", "FER_SWEEP_DRIVER"
POLL_SECONDS = 0.25
GRACE_SECONDS = 90.0  # to save in, where the watching process itself must go
PR_SET_PDEATHSIG = 1
EXIT_STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}  # 128 and the signal's number


@dataclass(frozen=True)
class Ending:
    """How a process ended: by its exit status, or by a signal."""

    exit_status: int | None
    signal: str | None
    seconds: float
    stopped: bool  # because it was asked to


def run_process(command: Sequence[str], log: Path, asked: Callable[[], str | None], cores: int | None = None) -> Ending:
    """Run a command to its end; its output is appended to `log`.

    It is a process group of its own, so Ctrl-C in a terminal reaches only the one that watches, which passes it on.

    Args:
        command: program and arguments; a command of this project.
        log: file for stdout and stderr.
        asked: None, `stop` (SIGTERM: a run finishes its step and saves) or `kill`.
        cores: that it may use; None leaves the choice to it.
    """
    _let_the_driver_decide()
    environment = {**os.environ, PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
    if cores is not None:
        environment |= {CORES: str(cores), "OMP_NUM_THREADS": str(cores)}
    environment.pop("SLURM_NTASKS", None)  # or Lightning would wait for ranks that srun never starts
    started = time.monotonic()
    stopped = None
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    try:
        while process.poll() is None:
            wanted = asked() or ("stop" if _driver_is_gone() else None)
            if wanted == "kill" and stopped != "kill":
                _kill_group(process)
                stopped = "kill"
            elif wanted and not stopped:
                process.terminate()
                stopped = "stop"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
    finally:  # also where a scheduler makes the watching process exit
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
        _kill_group(process)  # ranks that are left
        process.wait()
    code = process.returncode
    name = signal.Signals(-code).name if code < 0 else None
    return Ending(code if code >= 0 else None, name, time.monotonic() - started, stopped is not None)


def end_with_parent() -> None:
    """Called by a run at its start: SIGTERM, so that it saves and exits, when its watching process is gone.

    Does nothing in a run that somebody started by hand.
    """
    parent = os.environ.pop(PARENT, None)  # ranks that this run starts have another parent
    if parent is None and "LOCAL_RANK" not in os.environ:
        return
    if hasattr(signal, "SIGUSR2"):
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # SLURM warns all processes of the time limit; the watcher acts
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    else:
        threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()
    if parent is not None and os.getppid() != int(parent):
        raise SystemExit(143)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def announce_driver() -> None:
    """Tell all that this process starts, workers of launchers included, whose sweep they work for."""
    os.environ[DRIVER] = f"{socket.gethostname()}:{os.getpid()}"


def _driver_is_gone() -> bool:
    host, _, pid = os.environ.get(DRIVER, "").rpartition(":")
    if not pid or host != socket.gethostname() or "SLURM_JOB_ID" in os.environ or os.name == "nt":
        return False  # a cluster's jobs outlive the command that queued them
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z"
    except OSError:
        pass
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _let_the_driver_decide() -> None:
    """In a worker, Ctrl-C of the terminal is not for us: it comes through the driver."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _kill_group(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


class StopFile:
    """`.stop` in the folder of a sweep, or of a run with folds: it reaches other processes and other machines."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".stop"
        self.status = 0  # with which to exit, once this process was asked

    def asked(self) -> str | None:
        """None, `stop` (finish the step and save) or `kill` (at once)."""
        try:
            return self.path.read_text().strip() or "stop"
        except OSError:
            return None

    def ask(self, how: str) -> None:
        with replacing(self.path) as file:
            file.write(how)

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


@contextmanager
def stopped_by_signals(folder: Path) -> Iterator[StopFile]:
    """Make Ctrl-C and SIGTERM a `.stop` file; given again, they end the runs at once.

    No exception is raised, so that launchers of all kinds come back by themselves.
    """
    stop = StopFile(folder)
    stop.clear()

    def on_signal(number: int, frame: FrameType | None) -> None:
        again = stop.status != 0
        stop.status = EXIT_STATUS[signal.Signals(number)]
        stop.ask("kill" if again else "stop")
        if not again:
            os.write(2, b"stopping: what runs finishes its step and saves; Ctrl-C again ends it at once\n")

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, on_signal) for number in EXIT_STATUS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.clear()
