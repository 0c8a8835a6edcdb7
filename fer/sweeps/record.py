"""A fixed time on one GPU, planned to the minute: three ResNets from random weights, ten views, a vote, the study."""

import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fer.errors import ConfigError, RunError
from fer.files import replacing
from fer.runs.folder import RunFolder

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
NETWORKS = ("resnet18", "resnet34", "resnet50")
RECIPE = ("experiment=scratch", "model.stem=small", "data.batch_size=256", "figures=false")
SHARES = {"resnet18": 0.4, "resnet34": 0.25, "resnet50": 0.35}  # of the time of training
FOR_TIMING, FOR_VOTING, FOR_STUDY = 0.12, 0.1, 0.18  # of all the time
START_SECONDS = 25  # of a process: imports, first steps, test and report
MOST_EPOCHS = 300

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    network: str
    seed: int
    folder: Path


def record(cfg: DictConfig, folder: Path) -> None:
    """Time each network, train it for as many epochs as fit, test by one view, ten views and votes, write the table.

    Args:
        cfg: as `conf/record.yaml` composes it.
        folder: where everything goes.

    Raises:
        ConfigError: less than two minutes, or no seed.
        RunError: a network that cannot be timed; one that fails later is told, and the others are done.
    """
    if cfg.minutes < 2 or cfg.seeds < 1:
        raise ConfigError(f"minutes={cfg.minutes} seeds={cfg.seeds}: give 2 minutes and one seed at least")
    started, seconds = time.monotonic(), 60 * cfg.minutes
    deadline = started + seconds
    study = FOR_STUDY if cfg.study else 0
    rates = {network: _images_per_second(cfg, folder, network, FOR_TIMING * seconds) for network in NETWORKS}
    end_of_training = deadline - (FOR_VOTING + study) * seconds
    finished, rows, slowdown = [], [], 1.0
    for number, network in enumerate(NETWORKS):
        share = SHARES[network] / sum(SHARES[later] for later in NETWORKS[number:])
        planned = (end_of_training - time.monotonic()) * share
        epochs = _epochs(network, rates[network], planned / slowdown, cfg.seeds)
        log.info("%s: %.0f images/s, %d epochs in %.0f s", network, rates[network][0], epochs, planned)
        seeds = range(cfg.seeds if network == "resnet18" else 1)
        trainings = [Training(network, seed, folder / f"{network}_seed{seed}") for seed in seeds]
        began = time.monotonic()
        _train(trainings, epochs, cfg, end_of_training)
        slowdown = max(1.0, slowdown * (time.monotonic() - began) / planned)  # what timing alone did not see
        done = [each for each in trainings if RunFolder(each.folder).is_finished()]
        finished += done
        rows += [_row(each, epochs) for each in done]
    rows += _votes(cfg, folder, finished, deadline - study * seconds)
    if cfg.study and time.monotonic() < deadline - 20:
        rows.append(_study(cfg, folder, deadline))
    _write(folder / "record.md", rows, time.monotonic() - started)
    log.info("%s", (folder / "record.md").read_text(encoding="utf-8"))


def _common(cfg: DictConfig) -> list[str]:
    return [f"data={cfg.data.name}", f"data.root={cfg.data.root}", f"data.image_size={cfg.image_size}", *cfg.overrides]


def _images_per_second(cfg: DictConfig, folder: Path, network: str, seconds: float) -> tuple[float, int]:
    """Of a short training, and how many images an epoch has.

    Raises:
        RunError: it failed, or took too long.
    """
    run = RunFolder(folder / "timing" / network)
    limits = ["trainer.max_epochs=2", "trainer.limit_train_batches=40", "trainer.limit_val_batches=2"]
    command = ["train.py", f"model={network}", *RECIPE, *_common(cfg), *limits, f"hydra.run.dir={run}"]
    if _run(command, seconds) != 0:
        raise RunError(f"{network} could not be timed within {seconds:.0f} s: see {run.log_file}")
    metrics = run.read_metrics()
    return float(metrics["train_images_per_second"]), int(metrics["train/images"])


def _epochs(network: str, rate: tuple[float, int], seconds: float, seeds: int) -> int:
    """As many as fit, all seeds of a network at once on one device."""
    images_per_second, images = rate
    together = seeds if network == "resnet18" else 1
    fitting = (seconds - START_SECONDS) * images_per_second / (images * together)
    return int(min(max(fitting, 1), MOST_EPOCHS))


def _train(trainings: Sequence[Training], epochs: int, cfg: DictConfig, deadline: float) -> None:
    """Seeds of one network side by side; at the deadline they are stopped, and can be resumed."""
    processes = []
    for each in trainings:
        own = [f"model={each.network}", f"seed={each.seed}", f"trainer.max_epochs={epochs}"]
        processes.append(_start(["train.py", *own, *RECIPE, *_common(cfg), f"hydra.run.dir={each.folder}"]))
    for each, process in zip(trainings, processes, strict=True):
        if (status := _wait(process, deadline)) != 0:
            log.warning("%s ended with status %s: see %s", each.folder.name, status, RunFolder(each.folder).log_file)


def _votes(cfg: DictConfig, folder: Path, finished: Sequence[Training], deadline: float) -> list[dict[str, Any]]:
    """Ten views of each model, then all of them and one of each network voting, with ten views."""
    of_each = [each for each in finished if each.seed == 0]
    groups = [[each] for each in finished]
    groups += [of_each] if len(of_each) > 1 else []
    groups += [list(finished)] if len(finished) > len(of_each) else []
    rows = []
    for number, group in enumerate(groups):
        run = RunFolder(folder / "votes" / str(number))
        paths = ",".join(str(each.folder) for each in group)
        command = ["evaluate.py", f"checkpoint=[{paths}]", f"data={cfg.data.name}", f"data.root={cfg.data.root}"]
        left = deadline - time.monotonic()
        if left < START_SECONDS or _run([*command, "tta=tencrop", "figures=false", f"hydra.run.dir={run}"], left) != 0:
            log.warning("no time was left for ten views of %s", paths)
            continue
        names = " + ".join(each.folder.name for each in group)
        rows.append({"what": f"{names}, ten views", **_accuracies(run.read_metrics())})
    return rows


def _study(cfg: DictConfig, folder: Path, deadline: float) -> dict[str, Any]:
    """The wall time of one seed of the study, or how far it came."""
    started = time.monotonic()
    command = ["train.py", "sweep=paper", "seeds=1", f"data.root={cfg.data.root}", "figures=false"]
    status = _run([*command, f"hydra.sweep.dir={folder / 'study'}"], deadline - started)
    done = sum(RunFolder(path).is_finished() for path in (folder / "study").glob("*") if path.is_dir())
    state = "finished" if status == 0 else f"stopped, {done} of 6 jobs finished"
    return {"what": f"sweep=paper, one seed: {state}", "seconds": time.monotonic() - started}


def _row(training: Training, epochs: int) -> dict[str, Any]:
    metrics = RunFolder(training.folder).read_metrics()
    facts = {"epochs": epochs, "seconds": metrics.get("train_seconds"), "rate": metrics.get("train_images_per_second")}
    return {"what": training.folder.name, **_accuracies(metrics), **facts}


def _accuracies(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: metrics.get(f"{split}/accuracy") for split, key in (("val", "val"), ("test", "test"))}


def _write(file: Path, rows: Sequence[dict[str, Any]], seconds: float) -> None:
    lines = [
        f"# Record, {seconds / 60:.1f} minutes in all",
        "",
        "| what | epochs | validation | test | seconds | images/s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        shares = ["–" if row.get(key) is None else f"{100 * row[key]:.2f} %" for key in ("val", "test")]
        numbers = ["–" if row.get(key) is None else f"{row[key]:,.0f}" for key in ("seconds", "rate")]
        lines.append(f"| {row['what']} | {row.get('epochs', '–')} | {' | '.join(shares)} | {' | '.join(numbers)} |")
    with replacing(file) as open_file:
        open_file.write("\n".join(lines) + "\n")


def _start(command: Sequence[str]) -> subprocess.Popen:
    script, *overrides = command
    quiet = ["callbacks.progress=null"] if script == "train.py" and "sweep=paper" not in overrides else []
    return subprocess.Popen([sys.executable, str(SCRIPTS / script), *overrides, *quiet])


def _wait(process: subprocess.Popen, deadline: float) -> int:
    """Its exit status; at the deadline it is asked to stop, which saves what it has."""
    try:
        return process.wait(max(deadline - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            return process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _run(command: Sequence[str], seconds: float) -> int:
    return _wait(_start(command), time.monotonic() + seconds)
