"""Cores and memory of this machine, work in threads on them, and whether it has a GPU, said without PyTorch."""

import os
import platform
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")
PREFETCH = 4  # items that each thread works on before they are asked for
GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, Windows below Linux
CORES = "FER_CORES"  # environment variable: cores that a command leaves to each of the runs that it starts


def cores_to_use() -> int:
    """Cores that are free now, within what the cgroup grants and the command that started this run; at least 1."""
    return _within_limits(free_cores())


def usable_cores() -> int:
    """Cores that this process may use, free or not, within the same limits; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return _within_limits(cores)


def leave_busy_cores() -> None:
    """Let arithmetic take the free cores alone, where OMP_NUM_THREADS says nothing; to call before PyTorch is imported.

    Threads on a core that another process keeps busy wait for one another at each operation (docs/export.md).
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(_within_limits(free_cores(0.1))))


def math_threads() -> int:
    """Threads for arithmetic: OMP_NUM_THREADS, as PyTorch takes it, else one for each core that may be used."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(asked) if asked.isdecimal() and int(asked) > 0 else usable_cores()


def _within_limits(cores: int) -> int:
    limits = [cpu_quota(), float(os.environ.get(CORES, "inf"))]
    return max(1, int(min(cores, *(limit for limit in limits if limit is not None))))


def in_order(items: Iterable[T], work: Callable[[T], R], workers: int) -> Generator[R]:
    """`work` on each item, in threads that are a bounded number of items ahead; results in the order of the items.

    When it is closed (see `contextlib.closing`), or an error or Ctrl-C stops it, what is under way is ended and nothing
    new begun. One worker works in the caller's thread.
    """
    if workers == 1:
        yield from map(work, items)
        return
    from concurrent.futures import ThreadPoolExecutor  # which commands that only answer `--help` need not import

    source = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
    try:
        ahead: deque[Future[R]] = deque(pool.submit(work, item) for item in islice(source, PREFETCH * workers))
        while ahead:
            result = ahead.popleft().result()
            ahead.extend(pool.submit(work, item) for item in islice(source, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def may_have_gpu() -> bool:
    """Whether training would probably choose a GPU; asking PyTorch would cost seconds and hundreds of megabytes."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return shutil.which("nvidia-smi") is not None or any(map(os.path.exists, GPU_DEVICES))


def free_memory_bytes() -> int | None:
    """Memory of the machine that nothing holds; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            available = next(line for line in file if line.startswith("MemAvailable:"))
        return int(available.split()[1]) * 1024
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return None


def free_cores(seconds: float = 0.3) -> int:
    """How many of the cores that this process may use are idle, measured over a moment; all where that is unknown."""
    try:
        cores = os.sched_getaffinity(0)
        before = _idle_ticks()
        time.sleep(seconds)
        after = _idle_ticks()
    except (AttributeError, OSError, ValueError):  # no Linux
        return os.cpu_count() or 1
    ticks = seconds * os.sysconf("SC_CLK_TCK")
    return round(sum(min(1.0, (after[core] - before[core]) / ticks) for core in cores if core in before))


def _idle_ticks() -> dict[int, int]:
    """Ticks that each core was idle or waited for a disk since the system started."""
    lines = [line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()]
    return {int(words[0][3:]): int(words[4]) + int(words[5]) for words in lines if words[0][:3] == "cpu" != words[0]}


def cpu_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Cores' worth of time that containers and schedulers grant this process; None without a limit."""
    try:
        groups = [line.split(":", 2) for line in own.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    quotas = []
    for _, controllers, path in (group for group in groups if len(group) == 3):
        folder = root / "cpu" / path.strip("/") if controllers else root / path.strip("/")
        if controllers and "cpu" not in controllers.split(","):
            continue
        while folder != root.parent:
            quotas += _quota_in(folder)
            folder = folder.parent
    return min(quotas, default=None)


def _quota_in(folder: Path) -> list[float]:
    """Version 2 has both numbers in one file, version 1 each in its own; no or a negative number is no limit."""
    try:
        if (folder / "cpu.max").exists():
            most, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            most, period = ((folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
        return [int(most) / int(period)] if int(most) > 0 else []
    except (OSError, ValueError, ZeroDivisionError):
        return []
