from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from fer.benchmark import BARE, ORDINARY, ORDINARY_FP32, OURS, benchmark, summarise
from fer.cli import CONF, register_resolvers


def test_ratios_are_formed_within_rounds() -> None:
    rates = {BARE: [100.0, 50.0], OURS: [90.0, 45.0], ORDINARY: [45.0, 45.0], ORDINARY_FP32: [30.0, 15.0]}
    results = summarise(rates, dict.fromkeys(rates, 1), batch_size=10)
    assert results["ratios"][f"{OURS} / {BARE}"] == pytest.approx(0.9)
    assert results["ratios"][f"{OURS} / {ORDINARY}"] == pytest.approx(1.5)
    assert results["ratios"][f"{OURS} / {ORDINARY_FP32}"] == pytest.approx(3.0)
    assert results["overhead_ms_per_step"] == pytest.approx((11.11 + 22.22) / 2, rel=1e-3)
    assert results["contenders"][OURS]["images_per_second"] == pytest.approx(67.5)


def test_the_benchmark_times_all_contenders(tiny_overrides: list[str], tmp_path: Path) -> None:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("benchmark", [*tiny_overrides, "rounds=1", "steps=2", "warmup_steps=1", "images=70"])
    results = benchmark(cfg, tmp_path)
    assert (tmp_path / "benchmark.json").exists()
    assert set(results["contenders"]) == {BARE, OURS, ORDINARY, ORDINARY_FP32}
    assert all(row["images_per_second"] > 0 for row in results["contenders"].values())
