"""The machine at hand: which device, which precision is fast on it, how to keep it busy."""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch

from fer.cores import cores_to_use
from fer.errors import ConfigError

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
PRECISIONS = ("32-true", *AUTOCAST)  # weights are fp32 in each
SHORT = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}  # Lightning's older words
DEVICES = {"gpu": "cuda", "mps": "mps", "cpu": "cpu"}  # kind -> torch's word


def accelerator_kind() -> str:
    """gpu, mps (a Mac's) or cpu."""
    if torch.cuda.is_available():
        return "gpu"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_device(name: str) -> torch.device:
    """The device of a name: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        ConfigError: it is not there.
    """
    if name == "auto":
        return torch.device(DEVICES[accelerator_kind()])
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # whatever torch says of what is not there
        raise ConfigError(f"device={name} is not to be had on this machine; give device=auto or device=cpu") from error
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """One of Lightning's precisions: `32-true`, `bf16-mixed`, `16-mixed`, or the fastest that does no harm (`auto`).

    Raises:
        ConfigError: any other word.
    """
    return best_precision({"cuda": "gpu"}.get(device.type, device.type)) if name == "auto" else known_precision(name)


def known_precision(name: str) -> str:
    """One of PRECISIONS, by its name or Lightning's older one.

    Raises:
        ConfigError: any other word; weights of half or double precision cannot be trained here.
    """
    name = SHORT.get(name, name)
    if name not in PRECISIONS:
        raise ConfigError(f"precision={name}: choose auto, {', '.join(PRECISIONS)}")
    return name


def best_precision(kind: str) -> str:
    """The precision that is fastest without harm: bf16 where the hardware has it, fp16 on older GPUs, else fp32."""
    if kind == "gpu":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    return "bf16-mixed" if kind == "cpu" and cpu_has_bf16() else "32-true"


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 matrices itself (AVX512-BF16 or AMX); emulated, bf16 is slower than fp32."""
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore").split())
    except OSError:
        return False
    return bool(words & {"avx512_bf16", "amx_bf16"})


def choose_threads() -> int:
    """Threads for a training on this CPU: as many as cores are free, in what OMP_NUM_THREADS and the cgroup allow.

    Threads that share a core with another busy process wait for one another at every operation: two of them then make
    less than one alone.
    """
    return max(1, min(torch.get_num_threads(), cores_to_use()))


def set_gpu_precision(products: str) -> None:
    """How exactly a GPU multiplies fp32 numbers, in products and convolutions: `highest`, `high` (TF32), `medium`."""
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = products != "highest"


@contextmanager
def fp32_without_tf32() -> Iterator[None]:
    """A GPU multiplies fp32 numbers exactly within; afterwards as before."""
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    set_gpu_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


def keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next step, in place of returning it to the system.

    Activations and gradients come and go by hundreds of megabytes a step; fresh pages cost a fault each. Same
    as the environment variables MALLOC_MMAP_MAX_, MALLOC_TRIM_THRESHOLD_ and MALLOC_TOP_PAD_, which only act
    when set before the process starts.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
    mallopt(m_mmap_max, 0)
    mallopt(m_trim_threshold, 2**31 - 1)
    mallopt(m_top_pad, 64 << 20)


def peak_memory_bytes(device: torch.device) -> int | None:
    """The most memory held so far: allocated on a GPU, else resident of this process; None on Windows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_name(device: torch.device) -> str:
    """What the run ran on, as people call it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {threads_in_words(torch.get_num_threads())}"


def threads_in_words(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context of a forward pass in one of Lightning's precisions."""
    if precision not in AUTOCAST:
        return nullcontext()
    return torch.autocast(device.type, dtype=AUTOCAST[precision])


def wait_for(device: torch.device) -> None:
    """Return when the device has done all that was asked of it; before any look at the clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
