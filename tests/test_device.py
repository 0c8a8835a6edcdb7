"""What is said of the machine at hand is true of it."""

import os

import pytest
import torch

import fer.device as device_module
from fer.device import (
    accelerator_kind,
    autocast,
    best_precision,
    choose_threads,
    cpu_has_bf16,
    cpu_quota,
    device_name,
    fp32_without_tf32,
    free_cores,
    set_gpu_precision,
)


def test_the_accelerator_is_one_that_works():
    kind = accelerator_kind()
    device = torch.device({"gpu": "cuda"}.get(kind, kind))
    assert (torch.ones(2, device=device) + 1).sum().item() == 4


@pytest.mark.parametrize("kind", [accelerator_kind(), "cpu"])
def test_the_precision_multiplies_on_that_device(kind):
    device = torch.device({"gpu": "cuda"}.get(kind, kind))
    precision = best_precision(kind)
    assert precision in ("32-true", "bf16-mixed", "16-mixed")
    with autocast(device, precision):
        product = torch.ones(4, 4, device=device) @ torch.ones(4, 4, device=device)
    assert product.dtype == {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision, torch.float32)
    assert product.float().sum().item() == 64


def test_the_cpu_gets_bf16_only_where_it_multiplies_it_itself():
    assert best_precision("cpu") == ("bf16-mixed" if cpu_has_bf16() else "32-true")
    assert best_precision("mps") == "32-true"


@pytest.mark.parametrize("precision", ["32-true", "32", "64-true", "bf16-true"])
def test_other_precisions_cast_nothing(precision):
    with autocast(torch.device("cpu"), precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")


def test_the_device_is_named():
    assert device_name(torch.device("cpu")) == f"cpu, {torch.get_num_threads()} threads"


def test_exact_products_are_for_a_while():
    set_gpu_precision("high")
    try:
        with fp32_without_tf32():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
    finally:
        set_gpu_precision("highest")


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
    ("allowed", "quota", "free", "threads"),
    [(8, None, 8, 8), (8, 2.5, 8, 2), (8, 0.5, 8, 1), (8, None, 3, 3), (8, None, 0, 1), (1, None, 8, 1)],
)
def test_a_training_takes_as_many_threads_as_cores_are_free(monkeypatch, allowed, quota, free, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: allowed)
    monkeypatch.setattr(device_module, "cpu_quota", lambda: quota)
    monkeypatch.setattr(device_module, "free_cores", lambda: free)
    assert choose_threads() == threads


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux alone says how busy a core is")
def test_free_cores_are_counted(monkeypatch):
    cores = sorted(os.sched_getaffinity(0))
    ticks = os.sysconf("SC_CLK_TCK")
    readings = iter([{core: 0 for core in cores}, {core: ticks if core == cores[0] else 0 for core in cores}])
    monkeypatch.setattr(device_module, "_idle_ticks", lambda: next(readings))
    monkeypatch.setattr(device_module.time, "sleep", lambda seconds: None)
    assert free_cores(1.0) == 1
    monkeypatch.undo()
    assert 0 <= free_cores(0.05) <= len(cores)
