"""How many runs train at the same time, and that they do."""

import threading
import time
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from fer.runs.folder import RunFolder
from fer.runs.status import Status
from fer.sweeps import side_by_side as module
from fer.sweeps.grid import Job
from fer.sweeps.side_by_side import Sharing, share_machine, side_by_side

GIB = 2**30


def config(accelerator: str = "cpu", jobs: int | None = None, size: int = 48, **trainer: object) -> DictConfig:
    data = {"batch_size": 64, "image_size": size}
    return OmegaConf.create({"jobs": jobs, "data": data, "trainer": {"accelerator": accelerator, **trainer}})


@pytest.mark.parametrize(
    ("runs", "options", "memory", "sharing"),
    [
        (10, {}, 100, Sharing(4, 1)),  # one core each
        (2, {}, 100, Sharing(2, 2)),  # fewer runs than cores
        (1, {}, 100, Sharing(1)),
        (10, {}, 5, Sharing(2, 2)),  # as many as memory holds
        (10, {"size": 224}, 13, Sharing(2, 2)),
        (10, {}, 1, Sharing(1)),
        (10, {}, None, Sharing(4, 1)),
        (10, {"jobs": 1}, 100, Sharing(1)),  # as before
        (10, {"jobs": 3}, 100, Sharing(3, 1)),
        (10, {"jobs": 8}, 1, Sharing(8, 1)),  # as asked
        (10, {"threads": 2}, 100, Sharing(2, 2)),
        (10, {"devices": 2}, 100, Sharing(2, 2)),
        (10, {"accelerator": "gpu"}, 100, Sharing(1)),  # they would share it
        (10, {"accelerator": "gpu", "jobs": 2}, 100, Sharing(2)),
        (10, {"accelerator": "auto"}, 100, Sharing(1)),
    ],
)
def test_the_machine_is_shared(monkeypatch, runs, options, memory, sharing) -> None:
    monkeypatch.setattr(module, "cores_to_use", lambda: 4)
    monkeypatch.setattr(module, "free_memory_bytes", lambda: memory and memory * GIB)
    monkeypatch.setattr(module, "may_have_gpu", lambda: True)
    assert share_machine([config(**options)] * runs) == sharing


def test_a_config_of_an_older_version_has_no_jobs(monkeypatch) -> None:
    monkeypatch.setattr(module, "cores_to_use", lambda: 2)
    old = config()
    del old["jobs"]
    assert share_machine([old, old]).at_once == 2


def made_jobs(count: int) -> list[Job]:
    return [Job(str(number), RunFolder(Path(str(number))), []) for number in range(count)]


@pytest.mark.parametrize("at_once", [1, 3])
def test_as_many_run_as_may_and_all_are_done_in_their_order(at_once: int) -> None:
    lock, running, most, started = threading.Lock(), set(), [], []

    def run(job: Job) -> Status:
        with lock:
            running.add(job.name)
            started.append(job.name)
            most.append(len(running))
        time.sleep(0.05)
        with lock:
            running.discard(job.name)
        return Status("finished", cause=job.name)

    jobs = made_jobs(7)
    ended = {job.name: status.cause for job, status in side_by_side(jobs, run, at_once)}
    assert ended == {job.name: job.name for job in jobs}
    assert started == [job.name for job in jobs]
    assert max(most) == at_once


def test_nothing_starts_while_it_is_held_or_after_the_last_was_asked_for() -> None:
    started, gate = [], threading.Event()

    def run(job: Job) -> Status:
        started.append(job.name)
        if job.name == "1":
            gate.wait(20)
        return Status("failed")

    found = side_by_side(made_jobs(5), run, 2, hold=lambda: "0" in started and not gate.is_set())
    assert next(found)[0].name == "0"
    assert started == ["0"] or started == ["0", "1"]
    gate.set()
    found.close()
    assert set(started) <= {"0", "1"}


def test_an_error_of_the_one_who_watches_is_not_lost() -> None:
    def run(job: Job) -> Status:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        list(side_by_side(made_jobs(3), run, 2))
