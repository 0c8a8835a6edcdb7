"""Commands: Hydra apps whose expected errors are one line and exit status 1. Nothing heavy is imported here."""

import functools
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from fer.errors import FERError
from fer.runs.folder import RunFolder
from fer.sweeps.names import as_given, sweep_name

CONF = Path(__file__).resolve().parents[2] / "conf"

log = logging.getLogger(__name__)


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a Hydra app of a function of the config, with the project's way of telling errors."""
    register_resolvers()

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(task)
        def job(cfg: DictConfig) -> Any:
            try:
                return task(cfg)
            except KeyboardInterrupt:
                log.warning("interrupted")
                raise SystemExit(130) from None
            except FERError as error:
                if os.environ.get("HYDRA_FULL_ERROR") == "1":
                    raise
                line = " ".join(str(error).split())
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    log.error("error: %s", line)
                    raise CompactHydraException(f"error: {line}") from None
                raise SystemExit(f"error: {line}") from None

        app = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(job)
        return functools.wraps(task)(functools.partial(_to_an_open_end, app))

    return decorate


def _to_an_open_end(app: Callable[[], None]) -> None:
    """Run a command; that nobody reads its output to the end, as in `--help | head`, is no error to be traced."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter would flush once more
        raise SystemExit(1) from None


def register_resolvers() -> None:
    """The functions that configs call: where a run goes, and where a sweep."""
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
    OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True)


def run_folder(resume: str | None, fresh: str) -> str:
    """The folder of a run: that of the run to resume (given as folder or checkpoint), or a fresh one.

    Where nothing can be resumed the run will say so, and leave nothing in the place that was named.
    """
    if not resume:
        return fresh
    run = RunFolder.of_checkpoint(resume) or RunFolder(resume)
    return str(run) if run.path.is_dir() else fresh


def given_overrides() -> list[str]:
    """What the command line said, interpolations as they were given."""
    return as_given(HydraConfig.get().overrides.task)


def output_folder() -> Path:
    """The folder of this run, relative where it lies below the working directory."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
