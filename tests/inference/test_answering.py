"""Speed of answers: what is timed answers alike, ratios are formed within rounds, mistakes are one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from fer.errors import CheckpointError, ConfigError, RunError
from fer.evaluation.trained_model import load_trained
from fer.inference import answering as module
from fer.inference.answering import Turn, answering, summarise
from tests.composing import composed

for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package)


def asked(checkpoint: Path | str, *overrides: str) -> DictConfig:
    few = ["rounds=2", "answering.threads=[1]", "answering.batches=[2]", "answering.starts=false"]
    return composed("benchmark", f"checkpoint={checkpoint}", *few, *overrides)


def test_ratios_of_answers_are_formed_within_rounds() -> None:
    turns = {"eager": [Turn(100.0, 50.0), Turn(10.0, 5.0)], "onnx": [Turn(200.0, 50.0), Turn(20.0, 10.0)]}
    eager, onnx = summarise(turns)
    assert (eager["ratio"], eager["images_per_second"]) == (1, 55)
    assert (onnx["ratio"], onnx["processor_ratio"]) == (2, 1.5)
    assert (onnx["lowest"], onnx["highest"]) == (20, 200)


def test_each_contender_is_timed_and_answers_as_the_others(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    names = ["eager", "bf16", "exported_program", "onnx", "onnx_int8"]
    results = answering(asked(trained_run, f"answering.contenders=[{','.join(names)}]"), tmp_path)
    assert json.loads((tmp_path / "benchmark.json").read_text()) == results
    timed = [row["contender"] for row in results["answers"]]
    assert timed == [name for name in names if name != "bf16" or module.cpu_has_bf16()]
    assert all(row["lowest"] > 0 and row["images_per_processor_second"] > 0 for row in results["answers"])
    assert "batch 2, 1 thread" in capsys.readouterr().out
    faces = module._images(32, 1, 4)
    said = {name: run(faces) for name, run in module._contenders(load_trained(trained_run), 32, names).items()}
    for name, probabilities in said.items():
        assert probabilities.dtype == np.float32
        assert probabilities == pytest.approx(said["eager"], abs=0.1 if name in ("bf16", "onnx_int8") else 1e-4), name


def test_the_threads_are_those_asked_for(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def contenders(*_: object) -> dict:
        seen.append(torch.get_num_threads())
        return {"eager": lambda images: images, "compiled": lambda images: 1 / 0}

    monkeypatch.setattr(module, "_contenders", contenders)
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    results = answering(asked(trained_run, "answering.threads=[2,1]", "answering.sizes=[32,48]"), tmp_path)
    assert seen == [2, 1, 2, 1]
    assert torch.get_num_threads() == 1
    assert {row["contender"] for row in results["answers"]} == {"eager"}
    assert "compiled cannot run here: division by zero" in caplog.text


@pytest.mark.slow
def test_commands_are_timed_to_their_answer(trained_run: Path, tmp_path: Path) -> None:
    results = answering(
        asked(trained_run, "rounds=1", "answering.starts=true", "answering.contenders=[eager]"), tmp_path
    )
    checkpoint, onnx, bundle = (row["processor_milliseconds"] for row in results["starts"])
    assert bundle < onnx < checkpoint / 2


def test_what_cannot_be_timed_is_one_line(trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(CheckpointError):
        answering(asked(tmp_path / "model.onnx"), tmp_path)
    model = load_trained(trained_run)
    model.classifier.network = torch.nn.Linear(3, 7)
    with pytest.raises(ConfigError, match=r"answering\.sizes=64: this network takes no faces of this size \(mat1"):
        module._contenders(model, 64, ["eager"])
    (tmp_path / "fails.py").write_text("raise SystemExit('no face')")
    with pytest.raises(RunError, match=r"fails\.py failed: no face"):
        module._timed([str(tmp_path / "fails.py")])
