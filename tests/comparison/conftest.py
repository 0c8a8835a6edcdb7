"""Made-up run folders to compare."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from made_up_runs import put


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Small networks are slower on several threads, and far slower where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def run_folder() -> Callable[..., Path]:
    """Write a made-up run folder: `run_folder(path, backbone=…, data=…, seed=…, ability=…, …)`."""
    return put


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three networks on two data sets, three seeds each, the second with people; only read it."""
    folder = tmp_path_factory.mktemp("sweeps") / "paper"
    for depth, ability in ((18, 0.8), (34, 1.0), (50, 1.3)):
        for data, people in (("fer2013", None), ("ckplus", 40)):
            for seed in range(3):
                place = folder / f"resnet{depth}_{data}_seed{seed}"
                put(place, backbone=f"resnet{depth}.a1_in1k", data=data, seed=seed, ability=ability, people=people,
                    images=600)  # fmt: skip
                other = {"fer2013": "ckplus", "ckplus": "fer2013"}[data]
                moved = place / "evaluations" / f"{other}_test"
                moved.mkdir(parents=True)
                content = {"checkpoint": str(place), "data": other, "split": "test", "tta": "none",
                           "test/accuracy": 0.3 + depth / 1000 + seed / 100}  # fmt: skip
                (moved / "metrics.json").write_text(json.dumps(content))
    return folder
