"""Commands: Hydra apps whose expected errors are one line and exit status 1. Nothing heavy is imported here."""

import functools
import io
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import hydra
from hydra._internal import utils as hydra_utils
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fer.cli.arguments import understood
from fer.cli.help import show_own_help
from fer.config.check import check_config, check_hydra
from fer.config.explain import explain, one_line
from fer.cores import leave_busy_cores
from fer.errors import FERError, exit_in_one_line, shows_tracebacks
from fer.files import new_folder
from fer.runs.folder import RunFolder
from fer.sweeps.names import as_given, sweep_name

CONF = Path(__file__).resolve().parents[2] / "conf"
RENAMED = {
    "hydra.callbacks.sweep.": "hydra.sweeper.",
    "hydra/callbacks=grid": "hydra/sweeper=grid",
    "hydra/callbacks=search": "hydra/sweeper=optuna_search",
    "hydra/callbacks=[grid]": "hydra/sweeper=grid",
    "hydra/callbacks=[search]": "hydra/sweeper=optuna_search",
}

ANSWERING = ("predict", "demo")  # commands that answer about pictures; a training chooses its threads itself
ONLY_PRINTING = {"--cfg", "-c", "--info", "-i", "--help", "-h", "--hydra-help", "--shell-completion", "-sc"}
ONLY_PRINTING |= {"--multirun", "-m"}  # of which each job has a folder in that of the sweep

log = logging.getLogger(__name__)


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a Hydra app of a function of the config, whose expected errors are one line."""
    register_resolvers()
    # For each group that --help lists, Hydra copies all configs that it has stored: half of the time of the answer.
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(task)
        def run(cfg: DictConfig) -> Any:
            try:
                with exit_in_one_line():
                    _check(cfg, config_name)
                    if config_name in ANSWERING:
                        leave_busy_cores()
                    return task(cfg)
            except SystemExit as error:
                if HydraConfig.get().mode == RunMode.MULTIRUN and isinstance(error.code, str):
                    log.error(error.code)  # by line, for Hydra runs the other jobs before it tells of an error
                    raise CompactHydraException(error.code) from None
                raise

        app = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(run)
        return functools.wraps(task)(functools.partial(_run, app, config_name))

    return decorate


def _run(app: Callable[[], None], config_name: str) -> None:
    """Run a command to its end, or until Ctrl-C; nobody may read all of its output, as in `--help | head`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # consoles of other encodings lack a dash, not the rest of the line
    hydra_utils.run_and_report = functools.partial(_report, hydra_utils.run_and_report, config_name)
    try:
        try:
            with exit_in_one_line():
                show_own_help(config_name, CONF)
                sys.argv[1:] = understood([renamed(argument) for argument in sys.argv[1:]], config_name, CONF)
            app()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        log.warning("interrupted")
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter would flush once more
        raise SystemExit(1) from None


def _check(cfg: DictConfig, config_name: str) -> None:
    """Refuse what cannot work, and leave nothing behind."""
    try:
        check_hydra(HydraConfig.get())
        check_config(cfg, config_name, given_overrides())
    except FERError:
        for folder in (output_folder(), *output_folder().parents):  # Hydra made it, and its parents, for the run
            with suppress(OSError):
                if folder != Path():
                    folder.rmdir()
        raise


def _report(report: Callable[[Callable[[], Any]], Any], config_name: str, act: Callable[[], Any]) -> Any:
    """What Hydra does, with errors in what was typed as one line; others are reported as Hydra does.

    Args:
        report: Hydra's own, which prints several lines.
        config_name: of the command.
        act: what Hydra does.
    """

    def one_line_or_raise() -> Any:
        try:
            with exit_in_one_line():  # Hydra makes folders and logs, which a disk may refuse
                return act()
        except (HydraException, OmegaConfBaseException) as error:
            if shows_tracebacks() or (HydraConfig.initialized() and not isinstance(error, HydraException)):
                raise
            hydra = GlobalHydra.instance().hydra if GlobalHydra.instance().is_initialized() else None
            words = [word for word in sys.argv[1:] if not word.startswith("-")]
            line = one_line(str(error)) if hydra is None else explain(error, words, hydra.config_loader, config_name)
            raise SystemExit(line if line.startswith("error: ") else f"error: {line}") from None

    return report(one_line_or_raise)


def renamed(argument: str) -> str:
    """An argument of an earlier version of this project as it is today, so that its sweeps resume."""
    plain = argument.lstrip("+")
    for before, today in RENAMED.items():
        if plain.startswith(before):
            return argument[: len(argument) - len(plain)] + today + plain.removeprefix(before)
    return argument


def register_resolvers() -> None:
    """The functions that configs call: where a run goes, and where a sweep."""
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
    OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True)


def run_folder(resume: str | None, fresh: str) -> str:
    """The folder of a run: that of the run to resume (given as folder or checkpoint), or a fresh one.

    Where nothing can be resumed the run will say so, and leave nothing in the place that was named. Runs that start
    in the same second get folders of their own.
    """
    if not resume:
        return _own_folder(fresh)
    run = RunFolder.of_checkpoint(resume) or RunFolder(resume)
    return str(run) if run.path.is_dir() else fresh


@functools.cache
def _own_folder(wanted: str) -> str:
    """A new folder for this process, made now, so that no other takes it; commands that only print make none."""
    if ONLY_PRINTING & {argument.split("=")[0] for argument in sys.argv[1:]}:
        return wanted
    try:
        return str(new_folder(Path(wanted)))
    except OSError:  # Hydra will meet the same error, and the command say it
        return wanted


def given_overrides() -> list[str]:
    """Overrides of the command line, with interpolations as they were given."""
    return as_given(HydraConfig.get().overrides.task)


def output_folder() -> Path:
    """The folder of this run, relative where it lies below the working directory."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
