"""What is said of the machine at hand is true of it."""

import platform
import sys

import pytest
import torch

from fer.device import accelerator_kind, autocast, best_precision, cpu_has_bf16, device_name, keep_freed_memory

resource = pytest.importorskip("resource")


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


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_used_again():
    """Without it each of these buffers is given back, and its pages are faulted in anew."""
    keep_freed_memory()

    def faults_of_a_buffer() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.empty(64 << 20, dtype=torch.uint8).fill_(1)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults_of_a_buffer()
    pages = (64 << 20) // resource.getpagesize()
    assert min(faults_of_a_buffer() for _ in range(3)) < pages / 20
