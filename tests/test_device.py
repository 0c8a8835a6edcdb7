"""What is said of the machine at hand is true of it."""

import pytest
import torch

import fer.device as device_module
from fer.device import (
    accelerator_kind,
    autocast,
    best_precision,
    choose_threads,
    cpu_has_bf16,
    device_name,
    fp32_without_tf32,
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


def test_the_device_is_named(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert device_name(torch.device("cpu")) == "cpu, 1 thread"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert device_name(torch.device("cpu")) == "cpu, 4 threads"


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


@pytest.mark.parametrize(("allowed", "free", "threads"), [(8, 8, 8), (8, 3, 3), (1, 8, 1)])
def test_a_training_takes_as_many_threads_as_cores_are_free(monkeypatch, allowed, free, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: allowed)
    monkeypatch.setattr(device_module, "cores_to_use", lambda: free)
    assert choose_threads() == threads
