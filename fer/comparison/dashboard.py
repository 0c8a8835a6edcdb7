"""TensorBoard over many runs, under the names that the comparison gives them; those whose process ended are marked."""

import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from fer.comparison.groups import model_names
from fer.errors import ConfigError, RunError
from fer.reporting.tensorboard import FAILED, declare_columns, hyperparameters, mark_failed
from fer.runs.finished import find_run_folders
from fer.runs.folder import RunFolder
from fer.runs.naming import Setup, flat_settings, labels

log = logging.getLogger(__name__)

REFRESH_SECONDS = 20.0  # after which new runs appear


def serve(runs: Sequence[str] | str, host: str, port: int) -> None:
    """Serve TensorBoard until Ctrl-C; runs that begin meanwhile appear.

    Args:
        runs: run folders, folders of them at any depth, globs.
        host: address to serve on.
        port: 0 takes any free one.

    Raises:
        FERError: no run, or a port that is taken.
    """
    from tensorboard import program

    places = [runs] if isinstance(runs, str) else list(runs)
    for chatty in ("tensorboard", "werkzeug"):  # they tell of each file that they open, and of each that is asked for
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="fer-dashboard-") as folder:
        found = link_runs(places, Path(folder))
        board = program.TensorBoard()
        options = ["--logdir", folder, "--host", host, "--port", str(port), "--load_fast=false"]
        board.configure(argv=[None, *options, "--reload_interval=15", "--reload_multifile=true"])
        try:
            url = board.launch()
        except program.TensorBoardServerException as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"host={host} port={port}: {reason}; port=0 takes any free port") from error
        log.info("%d runs: %s (Ctrl-C ends it)", found, url)
        log.info("  curves          %s#timeseries", url)
        log.info("  hyperparameters %s#hparams", url)
        while True:
            time.sleep(REFRESH_SECONDS)
            link_runs(places, Path(folder))


def link_runs(places: Sequence[Path | str], logdir: Path) -> int:
    """Link the events of all runs into a folder for TensorBoard; returns how many there are.

    Raises:
        RunError: there is none.
    """
    named = named_runs(places)
    if not named:
        raise RunError(f"no run in {', '.join(map(str, places))} has events; train with logger=tensorboard")
    for entry in logdir.iterdir():
        if entry.name not in named and entry.is_symlink():
            entry.unlink()  # another run has made its name longer
    for name, (run, _) in named.items():
        place = logdir / name
        if not run.is_finished() and not run.is_being_written():
            _link_ended(run, place)
        elif place.is_dir() and not place.is_symlink():
            shutil.rmtree(
                place
            )  # it is resumed: TensorBoard forgets a run whose folder is gone; it is linked next time
        elif not place.is_symlink():
            place.symlink_to(run.tensorboard.resolve(), target_is_directory=True)
    values: dict[str, list[Any]] = {}
    for column in dict.fromkeys(column for _, own in named.values() for column in own):
        values[column] = [own.get(column) for _, own in named.values()]
    varied = {column for column, of_runs in values.items() if any(value != of_runs[0] for value in of_runs)}
    if varied and not list(logdir.glob("events.*")):
        first = {name: next(value for value in of_runs if value is not None) for name, of_runs in values.items()}
        declare_columns(logdir, first, varied)
    return len(named)


def _link_ended(run: RunFolder, place: Path) -> None:
    """Crashed, killed or stopped runs could not all say so: beside links to their events there is a file that does."""
    if place.is_symlink():
        place.unlink()
    place.mkdir(exist_ok=True)
    for file in run.tensorboard.glob("events.*"):
        if not (place / file.name).exists():
            (place / file.name).symlink_to(file.resolve())
    if not list(place.glob(f"*{FAILED}")):
        mark_failed(place)


def named_runs(places: Sequence[Path | str]) -> dict[str, tuple[RunFolder, Mapping[str, Any]]]:
    """Runs with events, and their hyperparameters, by `ResNet-18 (augment=none), demo, seed 0`."""
    found = [(run, config) for run in _single_runs(places) if (config := _config(run)) is not None]
    models = model_names([cast(dict[str, Any], config) for _, config in found])
    contents = [cast(dict[str, Any], OmegaConf.to_container(config, resolve=False)) for _, config in found]
    data = [str(content["data"].get("name")) for content in contents]
    choices = [_choices(run) for run, _ in found]
    setups = [
        Setup((model, of), flat_settings(content), chosen)
        for model, of, content, chosen in zip(models, data, contents, choices, strict=True)
    ]
    named: dict[str, tuple[RunFolder, Mapping[str, Any]]] = {}
    alike: Counter[str] = Counter()
    rows = zip(found, models, data, labels(setups), contents, choices, strict=True)
    for (run, config), model, of, label, content, chosen in rows:
        fold = f", fold {content['data'].get('fold')}" if content["data"].get("folds") else ""
        name = f"{model} ({label})" if label else model
        name = f"{name}, {of}{fold}, seed {content.get('seed')}".replace("/", "-")
        alike[name] += 1
        named[f"{name} #{alike[name]}" if alike[name] > 1 else name] = (run, hyperparameters(config, chosen))
    return named


def _single_runs(places: Sequence[Path | str]) -> Iterator[RunFolder]:
    """Runs that wrote events: of a run of folds each fold."""
    for run in find_run_folders(places):
        for single in run.folds() or [run]:
            if single.is_run() and single.tensorboard.is_dir():
                yield single


def _config(run: RunFolder) -> DictConfig | None:
    """The config of a run; None where it cannot be read, or is of something else."""
    try:
        config = run.read_config()
    except RunError as error:
        log.warning("%s", error)
        return None
    is_run = all(isinstance(config.get(part), DictConfig) for part in ("data", "model", "trainer"))
    return config if is_run else None


def _choices(run: RunFolder) -> Any:
    try:
        found = run.read_choices()
    except RunError:
        return None
    return None if found is None else found.without("data.fold", "folds")
