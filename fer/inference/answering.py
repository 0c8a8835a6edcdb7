"""How fast a model answers on the CPU: in PyTorch, compiled, and as the files that `export.py` writes; and how soon.

Contenders take turns within each round, and ratios are formed within a round. Where other programs run beside,
images per processor second tell more than images/s.
"""

import copy
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn

from fer.config.keys import ANSWERING
from fer.device import autocast, cpu_has_bf16, threads_in_words
from fer.errors import ConfigError, RunError
from fer.evaluation.trained_model import TrainedModel, load_trained
from fer.export.export import export
from fer.export.faces import drawn_faces
from fer.export.formats import (
    CalibratedNetwork,
    Run,
    as_exported_program,
    as_onnx,
    check_choice,
    run_exported_program,
    run_network,
    run_onnx,
)
from fer.files import write_json
from fer.models.weight_files import check_no_program

log = logging.getLogger(__name__)

TURN_SECONDS = 0.5  # after which a turn begins no other batch
CALIBRATION = 32  # drawn faces from which int8 takes its ranges here: speed is asked for, not accuracy
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


class Turn(NamedTuple):
    """How fast a contender was in one round."""

    per_second: float  # images
    per_processor_second: float  # of all its threads together


def answering(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Time answers in turn; print tables and write `benchmark.json`, anew after each combination.

    Returns:
        The content of `benchmark.json`: `answers`, a row for each contender and combination of size, threads and
        batch; `starts`, commands from their start to the first answer and their end; `settings`.

    Raises:
        FERError: no checkpoint of a network, a size that the network does not take, packages that are missing.
    """
    check_choice("onnx", "fp32")
    model, asked = load_trained(cfg.checkpoint), cfg.answering
    check_no_program(model.path)
    network, threads = str(model.classifier.network_spec.get("backbone", "a network")), torch.get_num_threads()
    settings = {"model": network, "torch": torch.__version__, "rounds": cfg.rounds, "checkpoint": str(cfg.checkpoint)}
    results: dict[str, Any] = {"settings": settings, "answers": [], "starts": []}
    try:
        for size, count in product(asked.sizes or [model.classifier.image_size], asked.threads):
            torch.set_num_threads(count)
            torch.compiler.reset()  # of what was compiled for another number of threads
            contenders = _contenders(model, size, asked.contenders or ANSWERING)
            for batch in asked.batches:
                turns = _take_turns(contenders, _images(size, model.classifier.channels, batch), cfg.rounds)
                rows = [{"size": size, "threads": count, "batch": batch, **row} for row in summarise(turns)]
                results["answers"] += rows
                write_json(folder / "benchmark.json", results)
                print_answers(rows, network)
    finally:
        torch.set_num_threads(threads)
    if asked.starts:
        results["starts"] = _starts(str(cfg.checkpoint), cfg.rounds)
        print_starts(results["starts"])
        write_json(folder / "benchmark.json", results)
    log.info("written to %s", folder / "benchmark.json")
    return results


def summarise(turns: Mapping[str, Sequence[Turn]]) -> list[dict[str, Any]]:
    """A row for each contender: medians over rounds; ratios to the first of them are formed within each round."""
    first = next(iter(turns.values()))
    rows = []
    for name, found in turns.items():
        pairs = list(zip(found, first, strict=True))
        per_second = [turn.per_second for turn in found]
        row = {
            "contender": name,
            "images_per_second": statistics.median(per_second),
            "lowest": min(per_second),
            "highest": max(per_second),
            "ratio": statistics.median(own.per_second / other.per_second for own, other in pairs),
            "images_per_processor_second": statistics.median(turn.per_processor_second for turn in found),
            "processor_ratio": statistics.median(
                own.per_processor_second / other.per_processor_second for own, other in pairs
            ),
        }
        rows.append(row)
    return rows


def print_answers(rows: Sequence[Mapping[str, Any]], network: str) -> None:
    """The table of one combination of size, threads and batch."""
    size, batch, threads = (rows[0][key] for key in ("size", "batch", "threads"))
    title = f"{network}, {size} px, batch {batch}, {threads_in_words(threads)}"
    table = Table("", title=title, box=None, title_justify="left")
    times = f"times {rows[0]['contender']}"
    for heading in ("images/s", "lowest", "highest", times, "images per processor s", times):
        table.add_column(heading, justify="right")
    for row in rows:
        speeds = [f"{row[key]:,.1f}" for key in ("images_per_second", "lowest", "highest")]
        of_processor = [f"{row['images_per_processor_second']:,.1f}", f"{row['processor_ratio']:.2f}"]
        table.add_row(row["contender"], *speeds, f"{row['ratio']:.2f}", *of_processor)
    Console().print(table)


def print_starts(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table of commands."""
    table = Table("one cropped face, from the start of a command to its end", box=None)
    for heading in ("milliseconds", "lowest", "highest", "of the processor"):
        table.add_column(heading, justify="right")
    for row in rows:
        keys = ("milliseconds", "lowest", "highest", "processor_milliseconds")
        table.add_row(row["command"], *(f"{row[key]:,.0f}" for key in keys))
    Console().print(table)


def _contenders(model: TrainedModel, size: int, wanted: Sequence[str]) -> dict[str, Run]:
    """What answers about faces of a size, in as many threads as PyTorch has now."""
    classifier = copy.deepcopy(model.classifier)
    classifier.image_size = size
    program = CalibratedNetwork(classifier, model.temperature or 1.0).to(memory_format=torch.contiguous_format)
    network, example = (
        copy.deepcopy(program).to(memory_format=torch.channels_last),
        _images(size, classifier.channels, 2),
    )
    try:
        run_network(network)(example)
    except Exception as error:  # networks raise many kinds for a size that they do not take
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"answering.sizes={size}: this network takes no faces of this size ({reason})") from error
    tensor = torch.from_numpy(example)
    content = as_onnx(program, tensor, {}) if {"onnx", "onnx_int8"} & set(wanted) else b""
    make: dict[str, Callable[[], Run]] = {
        "eager": lambda: run_network(network),
        "bf16": lambda: _run_in_bf16(network),
        "compiled": lambda: run_network(cast(nn.Module, torch.compile(network, dynamic=False))),
        "exported_program": lambda: run_exported_program(as_exported_program(program, tensor, {})),
        "onnx": lambda: run_onnx(content),
        "onnx_int8": lambda: run_onnx(_in_int8(content, size, classifier.channels)),
    }
    left_out = () if cpu_has_bf16() else ("bf16",)  # it would be emulated
    return {name: make[name]() for name in ANSWERING if name in wanted and name not in left_out}


def _run_in_bf16(network: nn.Module) -> Run:
    @torch.inference_mode()
    def run(images: np.ndarray) -> np.ndarray:
        with autocast(torch.device("cpu"), "bf16-mixed"):
            return network(torch.from_numpy(images)).numpy()

    return run


def _in_int8(content: bytes, size: int, channels: int) -> bytes:
    from fer.export.quantize import in_int8

    return in_int8(content, islice(drawn_faces().batches(size, channels, CALIBRATION), 1))


def _images(size: int, channels: int, batch: int) -> np.ndarray:
    """Drawn faces, float32 [batch, C, size, size] in [0, 1]."""
    faces = next(drawn_faces().batches(size, channels, min(batch, CALIBRATION)))
    return np.ascontiguousarray(np.resize(faces, (batch, *faces.shape[1:])))


def _take_turns(contenders: Mapping[str, Run], images: np.ndarray, rounds: int) -> dict[str, list[Turn]]:
    """The turns of each contender; one that cannot run here, as `compiled` without a C++ compiler, is left out."""
    turns: dict[str, list[Turn]] = {}
    for name, run in contenders.items():
        try:
            run(images)  # not timed: it compiles, and reserves memory
            turns[name] = []
        except Exception as error:
            log.warning("%s cannot run here: %s", name, " ".join(str(error).split())[:200])
    for _ in range(rounds):
        for name, found in turns.items():
            found.append(_turn(lambda run=contenders[name]: run(images), len(images)))  # type: ignore[misc]
    return turns


def _turn(answer: Callable[[], Any], batch: int) -> Turn:
    count, started, processor = 0, time.perf_counter(), time.process_time()
    while count == 0 or time.perf_counter() - started < TURN_SECONDS:
        answer()
        count += 1
    seconds, processor_seconds = time.perf_counter() - started, time.process_time() - processor
    return Turn(count * batch / seconds, count * batch / max(processor_seconds, 1e-9))


def _starts(checkpoint: str, rounds: int) -> list[dict[str, Any]]:
    """Commands that answer about one cropped face, timed from their start to their end; a first turn is not counted."""
    times: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="fer-benchmark-") as place:
        face, bundle = Path(place, "face.png"), Path(place, "bundle")
        Image.fromarray(drawn_faces().images[0]).save(face)
        export(checkpoint, "bundle", output=str(bundle), images=1, shown=False)
        for number in range(rounds + 1):
            predict = [str(SCRIPTS / "predict.py"), "faces=none", "device=cpu", f"input={face}"]
            commands = {
                "predict.py checkpoint=CHECKPOINT": [*predict, f"checkpoint={checkpoint}", f"output={place}/a{number}"],
                "predict.py checkpoint=model.onnx": [*predict, f"checkpoint={bundle}", f"output={place}/b{number}"],
                "run.py of a bundle": [str(bundle / "run.py"), str(face)],
            }
            for name, words in commands.items():
                seconds = _timed(words)
                if number:
                    times.setdefault(name, []).append(seconds)
    return [
        {
            "command": name,
            "milliseconds": 1000 * statistics.median(wall for wall, _ in found),
            "lowest": 1000 * min(wall for wall, _ in found),
            "highest": 1000 * max(wall for wall, _ in found),
            "processor_milliseconds": 1000 * statistics.median(processor for _, processor in found),
        }
        for name, found in times.items()
    ]


def _timed(words: Sequence[str]) -> tuple[float, float]:
    """Seconds of a Python program, and of the processor (0 on Windows, which does not say).

    Raises:
        RunError: it failed.
    """
    before, started = os.times(), time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - started, os.times()
    if done.returncode:
        raise RunError(f"{Path(words[0]).name} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, spent
