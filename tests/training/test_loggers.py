"""Where the numbers of a run go."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, open_dict

from fer.errors import ConfigError
from fer.runs.folder import RunFolder
from fer.runs.tables import read_rows
from fer.training.loggers import build_loggers
from fer.training.train import train


def test_without_a_logger_the_history_is_written_all_the_same(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    assert train(tiny_config("logger=none", "trainer.max_epochs=2"), tmp_path) is not None
    history = RunFolder(tmp_path).read_history()
    assert sorted(history) == [0, 1]
    assert {"train/loss", "val/accuracy", "throughput/images_per_second"} <= set(history[1])
    assert not (tmp_path / "tensorboard").exists()
    assert (tmp_path / "report.html").exists()


def test_several_loggers_at_once(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    metrics = train(tiny_config("logger=[tensorboard,csv]", "trainer.max_epochs=1"), tmp_path)
    assert metrics is not None
    assert list((tmp_path / "tensorboard").glob("events.out.*"))
    (table,) = (tmp_path / "csv").rglob("metrics.csv")
    rows = read_rows(table)
    assert float(next(row["result/test_accuracy"] for row in rows if row["result/test_accuracy"])) == pytest.approx(
        metrics["test/accuracy"]
    )
    assert any(row["val/loss"] for row in rows)
    assert "lr: 0.003" in (table.parent / "hparams.yaml").read_text()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_whose_package_is_missing_names_the_extra(
    name: str, tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    cfg = tiny_config(f"logger={name}")
    if any(importlib.util.find_spec(package) for package in (name, f"{name}-skinny")):
        pytest.skip(f"{name} is installed")
    with pytest.raises(ConfigError, match=rf"logger={name}: .*\.\[{name}\]") as raised:
        build_loggers(cfg, RunFolder(tmp_path))
    assert "\n" not in str(raised.value)


def test_a_run_older_than_the_loggers_keeps_tensorboard(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    cfg = tiny_config()
    with open_dict(cfg):
        del cfg["logger"]
    assert [type(logger).__name__ for logger in build_loggers(cfg, RunFolder(tmp_path))] == [
        "RunLogger",
        "HistoryLogger",
    ]
