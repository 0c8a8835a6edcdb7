"""Cores, quotas and GPUs as the system reports them."""

import os
import signal
import threading
import time
from contextlib import closing

import pytest

from fer import cores
from fer.cores import (
    cores_to_use,
    cpu_quota,
    free_cores,
    in_order,
    leave_busy_cores,
    math_threads,
    may_have_gpu,
    usable_cores,
)


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n", "a/cpu.max": "max 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n"}, 0.5),  # of a group around it
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4.0),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        (
            "4:cpu,cpuacct:/x\n3:memory:/y\n",
            {"cpu/x/cpu.cfs_quota_us": "200000", "cpu/x/cpu.cfs_period_us": "100000"},
            2,
        ),
        ("4:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, None),
        ("nonsense\n", {}, None),
    ],
)
def test_the_quota_of_a_container_counts(tmp_path, own, files, quota):
    (tmp_path / "own").write_text(own)
    for name, content in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(content)
    assert cpu_quota(tmp_path / "cgroup", tmp_path / "own") == quota
    assert cpu_quota(tmp_path / "cgroup", tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("quota", "left", "free", "usable"),
    [
        (None, None, 8, 8),
        (2.5, None, 8, 2),
        (0.5, None, 8, 1),
        (None, None, 0, 1),
        (None, "3", 8, 3),  # of the command that started this run
        (2.0, "3", 8, 2),
    ],
)
def test_cores_are_those_that_are_free_and_granted(monkeypatch, quota, left, free, usable):
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    monkeypatch.setattr(cores, "free_cores", lambda: free)
    monkeypatch.delenv(cores.CORES, raising=False)
    if left is not None:
        monkeypatch.setenv(cores.CORES, left)
    assert cores_to_use() == usable
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: range(free), raising=False)
    assert usable_cores() == usable


def test_a_gpu_that_is_hidden_does_not_count(monkeypatch):
    monkeypatch.setattr(cores.sys, "platform", "linux")
    monkeypatch.setattr(cores.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert may_have_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not may_have_gpu()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux alone says how busy a core is")
def test_free_cores_are_counted(monkeypatch):
    allowed = sorted(os.sched_getaffinity(0))
    ticks = os.sysconf("SC_CLK_TCK")
    readings = iter([{core: 0 for core in allowed}, {core: ticks if core == allowed[0] else 0 for core in allowed}])
    monkeypatch.setattr(cores, "_idle_ticks", lambda: next(readings))
    monkeypatch.setattr(cores.time, "sleep", lambda seconds: None)
    assert free_cores(1.0) == 1
    monkeypatch.undo()
    assert 0 <= free_cores(0.05) <= len(allowed)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_work_is_a_bounded_way_ahead_and_comes_back_in_order(workers: int) -> None:
    drawn: list[int] = []

    def numbers():
        for number in range(1000):
            drawn.append(number)
            yield number

    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * 2

    with closing(in_order(numbers(), work, workers)) as results:
        assert [next(results) for _ in range(10)] == list(range(0, 20, 2))
        assert len(drawn) <= 10 + (workers > 1) * cores.PREFETCH * workers


@pytest.mark.parametrize(("given", "free", "threads"), [(None, 2, 2), (None, 0, 1), ("3", 1, 3), ("", 5, 5)])
def test_arithmetic_takes_the_free_cores_or_what_is_said(
    given: str | None, free: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "free_cores", lambda seconds: free)
    monkeypatch.setattr(cores, "usable_cores", lambda: 5)
    monkeypatch.setattr(cores, "cpu_quota", lambda: None)
    monkeypatch.setenv("OMP_NUM_THREADS", given or "")
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    leave_busy_cores()
    assert math_threads() == threads


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("where", ["work", "caller"])
def test_ctrl_c_begins_nothing_new_and_leaves_no_thread(where: str) -> None:
    before, begun = threading.active_count(), []

    def work(number: int) -> int:
        begun.append(number)
        if where == "work" and number == 3:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.01)
        return number

    with pytest.raises(KeyboardInterrupt), closing(in_order(range(1000), work, 2)) as results:
        for result in results:
            if where == "caller" and result == 3:
                raise KeyboardInterrupt
    assert len(begun) < 30
    patience = time.monotonic() + 10  # a thread that was about to begin is not waited for
    while threading.active_count() > before and time.monotonic() < patience:
        time.sleep(0.01)
    assert threading.active_count() == before
