import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fer.errors import ConfigError
from fer.training.benchmark import BARE, ORDINARY, ORDINARY_FP32, OURS, _Clock, benchmark, summarise
from tests.composing import composed


def test_ratios_are_formed_within_rounds() -> None:
    rates = {BARE: [100.0, 50.0], OURS: [90.0, 45.0], ORDINARY: [45.0, 45.0], ORDINARY_FP32: [30.0, 15.0]}
    results = summarise(rates, dict.fromkeys(rates, 1), batch_size=10)
    assert results["ratios"][f"{OURS} / {BARE}"] == pytest.approx(0.9)
    assert results["ratios"][f"{OURS} / {ORDINARY}"] == pytest.approx(1.5)
    assert results["ratios"][f"{OURS} / {ORDINARY_FP32}"] == pytest.approx(3.0)
    assert results["overhead_ms_per_step"] == pytest.approx((11.11 + 22.22) / 2, rel=1e-3)
    assert results["contenders"][OURS]["images_per_second"] == pytest.approx(67.5)


def test_the_benchmark_times_all_contenders(tiny_overrides: list[str], tmp_path: Path) -> None:
    cfg = composed("benchmark", *tiny_overrides, "rounds=1", "steps=2", "warmup_steps=1", "images=70")
    results = benchmark(cfg, tmp_path)
    assert (tmp_path / "benchmark.json").exists()
    assert set(results["contenders"]) == {BARE, OURS, ORDINARY, ORDINARY_FP32}
    assert all(row["images_per_second"] > 0 for row in results["contenders"].values())


def test_faces_in_colour_without_a_warm_up(
    tiny_overrides: list[str], write_folder: Callable[..., Path], picture: Callable[..., bytes], tmp_path: Path
) -> None:
    files = {
        f"{split}/{emotion}/{number}.png": picture(number, (48, 48, 3))
        for split, count in (("train", 20), ("test", 2))
        for emotion in ("happy", "sad")
        for number in range(count)
    }
    source = write_folder(tmp_path / "colour", files)
    data = ["data=folder", "data.name=colour", f"data.source={source}", f"data.root={tmp_path / 'packs'}"]
    cfg = composed("benchmark", *tiny_overrides, *data, "rounds=1", "steps=2", "warmup_steps=0", "data.batch_size=16")
    started = time.perf_counter()
    results = benchmark(cfg, tmp_path)
    seconds = time.perf_counter() - started
    for name, row in results["contenders"].items():
        assert row["images_per_second"] > 2 * 16 / seconds, name  # what was counted was done within the call


def test_what_cannot_be_timed_is_said_at_once(tiny_overrides: list[str], tmp_path: Path) -> None:
    for overrides, message in (
        (["rounds=0"], "rounds=0"),
        (["warmup_steps=-1"], "warmup_steps=-1"),
        (["images=20"], "a batch of 32 cannot be filled from 20 images"),
        (["data.batch_size=512"], r"cannot be filled from 210 images \(images=2000, 210 to train on\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            benchmark(composed("benchmark", *tiny_overrides, *overrides), tmp_path)


@pytest.mark.parametrize("warmup_steps", [0, 3])
def test_the_clock_counts_steps_after_the_warm_up(warmup_steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("fer.training.benchmark.time.perf_counter", lambda: now)
    clock, module = _Clock(warmup_steps, 4), SimpleNamespace(device=torch.device("cpu"))
    clock.on_train_start(None, module)  # type: ignore[arg-type]
    for step in range(1, warmup_steps + 5):
        now += 0.5 if step > warmup_steps else 7
        clock.on_train_batch_end(SimpleNamespace(global_step=step), module)  # type: ignore[arg-type]
    assert clock.seconds == 4 * 0.5
