"""Runs that train at the same time on one machine, and how they share its cores."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from omegaconf import DictConfig

from fer.cores import cores_to_use, free_memory_bytes, may_have_gpu
from fer.runs.status import Status
from fer.sweeps.grid import Job

RUN_BYTES, PIXEL_BYTES = 3 * 2**29, 1500  # of memory: of any run; of each pixel of a batch, in a large network
SIGNAL_SECONDS = 1.0  # so that Ctrl-C is heard on every system


@dataclass(frozen=True)
class Sharing:
    """How the runs of one command share the machine.

    Args:
        at_once: runs that train at the same time.
        cores: of each; None leaves the choice to the run.
    """

    at_once: int
    cores: int | None = None


def share_machine(configs: Sequence[DictConfig]) -> Sharing:
    """How the runs of these configs share this machine.

    Threads of one training add little, so on the CPU runs train side by side: as many as cores are free and memory
    allows. On a GPU one trains after the other, unless `jobs` says how many.
    """
    asked = min((config.jobs for config in configs if config.get("jobs")), default=None)
    if len(configs) < 2 or asked == 1 or not all(_on_cpu(config) for config in configs):
        return Sharing(max(1, min(len(configs), asked or 1)))
    cores = cores_to_use()
    fitting = cores // max(_cores_asked(config) for config in configs)
    memory = free_memory_bytes()
    if memory is not None:
        fitting = min(fitting, memory // max(_memory_asked(config) for config in configs))
    at_once = min(len(configs), asked or max(1, fitting))
    return Sharing(at_once, max(1, cores // at_once) if at_once > 1 else None)


def side_by_side(
    jobs: Sequence[Job], run: Callable[[Job], Status], at_once: int, hold: Callable[[], bool] = lambda: False
) -> Iterator[tuple[Job, Status]]:
    """Run jobs in threads, in their order; yields each with its status as soon as it has ended.

    Whoever stops asking gets no further jobs, and waits for those that run.

    Args:
        jobs: to run.
        run: of one job; it returns when the job has ended.
        at_once: how many at the same time.
        hold: whether a job that could start has to wait until another has ended.
    """
    waiting, running = deque(jobs), dict[Future[Status], Job]()
    with ThreadPoolExecutor(at_once) as pool:
        while waiting or running:
            while waiting and len(running) < at_once and not (running and hold()):
                job = waiting.popleft()
                running[pool.submit(run, job)] = job
            for future in wait(running, SIGNAL_SECONDS, FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


def _on_cpu(config: DictConfig) -> bool:
    accelerator = config.trainer.get("accelerator")
    return accelerator == "cpu" or (accelerator == "auto" and not may_have_gpu())


def _cores_asked(config: DictConfig) -> int:
    """Cores that one run takes at least, by `trainer.threads` and `trainer.devices`."""
    devices = config.trainer.get("devices")
    return (config.trainer.get("threads") or 1) * (devices if isinstance(devices, int) and devices > 0 else 1)


def _memory_asked(config: DictConfig) -> int:
    return int(RUN_BYTES + PIXEL_BYTES * config.data.batch_size * config.data.image_size**2)
