"""Sweeps whose jobs are processes of their own: they survive each other, and go on where they stopped."""

import logging
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, InstantiationException
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from fer.console import ConsoleHandler
from fer.errors import ConfigError, FERError, RunError
from fer.files import replacing
from fer.runs.folder import CONFIG, METRICS, is_finished, only_writer
from fer.runs.status import Status, one_line, read_status
from fer.sweeps import grid
from fer.sweeps.grid import Job
from fer.sweeps.job import make_waiting, quoted, run_job
from fer.sweeps.names import as_given
from fer.sweeps.process import announce_driver
from fer.sweeps.stop import StopFile, stopped_by_signals
from fer.sweeps.summary import print_failures, print_summary
from fer.sweeps.watch import Watch

log = logging.getLogger(__name__)


class Grid(Callback):
    """Every combination of what is swept, in the place of Hydra's own sweeper.

    A callback, for it is the one thing that Hydra takes from any package; at the start of a sweep it does all of it.

    Args:
        retries: how often to start a job again that a signal ended, or whose worker died.
        compare: whether to compare the runs at the end.
    """

    def __init__(self, retries: int = 1, compare: bool = True) -> None:
        self.retries, self.compare = retries, compare

    def on_multirun_start(self, config: DictConfig, **options: Any) -> None:
        """Run all jobs, then print the summary, pool folds and compare; another sweeper than Hydra's own is left to it.

        Raises:
            SystemExit: 0; 1 where a job failed, 130 and 143 where Ctrl-C and SIGTERM stopped it.
        """
        if not config.hydra.sweeper._target_.endswith(".BasicSweeper"):
            return
        self.config = config
        self.loader = GlobalHydra.instance().config_loader()
        try:
            self.folder = Path(config.hydra.sweep.dir)
            self.console = _console()
            self.launcher = _launcher(config, self.loader)
            params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
            status = self._run([*params, *as_given(config.hydra.overrides.task)])
        except (FERError, HydraException) as error:
            raise SystemExit(f"error: {one_line(str(error))}") from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except Exception:  # which Hydra would take for a warning
            traceback.print_exc()
            raise SystemExit(1) from None
        sys.stdout.flush()
        raise SystemExit(status)

    def _run(self, arguments: list[str]) -> int:
        """The whole sweep; returns the exit status."""
        overrides = grid.parse(arguments, self.loader)
        jobs = self.first_jobs(overrides)
        with _only_sweep(self.folder):
            with replacing(self.folder / "multirun.yaml") as file:
                file.write(OmegaConf.to_yaml(self.config))
            announce_driver()
            for name in ("hydra", "hydra_plugins"):  # that launch what the watch tells of
                logging.getLogger(name).setLevel(logging.WARNING)
            with stopped_by_signals(self.folder) as stop, Watch(self.total(jobs), self.console) as watch:
                jobs = self.run_all(jobs, overrides, watch, stop)
            print_summary(jobs, watch.outcomes, self.folder, self.console)
            if stop.status:
                self.console.print("stopped; the same command goes on", highlight=False)
            else:
                self.finish(jobs, [job for job in jobs if job.error is None and is_finished(job.folder)])
            failed = print_failures(jobs, watch.outcomes, _console(stderr=True))
            return stop.status or int(failed > 0)

    def first_jobs(self, overrides: dict[str, Any]) -> list[Job]:
        jobs = [self.make_job(varied, overrides) for varied in grid.combinations(overrides)]
        if not jobs:
            raise ConfigError("nothing to run: something that is swept has no values (seeds=0, an empty range)")
        if all(job.error for job in jobs):  # nothing to isolate: a mistake in what they share
            raise ConfigError(str(jobs[0].error))
        grid.name_apart(jobs, self.folder)
        return jobs

    def total(self, jobs: Sequence[Job]) -> int:
        return len(jobs)

    def run_all(self, jobs: list[Job], overrides: dict[str, Any], watch: Watch, stop: StopFile) -> list[Job]:
        """Launch the jobs that are not finished; returns all."""
        self.launch(jobs, watch, stop)
        return jobs

    def finish(self, jobs: Sequence[Job], done: Sequence[Job]) -> None:
        """What comes after the jobs: folds pooled, runs compared."""
        for run in dict.fromkeys(job.folds_of for job in jobs if job.folds_of is not None):
            folds = [job for job in jobs if job.folds_of == run]
            if all(job in done for job in folds) and not _is_pooled(run, folds):
                self._carefully(f"the folds of {run.name} were not pooled", partial(_pool, folds))
        if self.compare and done:
            self._carefully("the runs were not compared", self._compare)

    def make_job(self, varied: dict[str, str], overrides: dict[str, Any]) -> Job:
        choices = self.config.hydra.runtime.choices
        return grid.make_job(varied, overrides, self.folder, choices, self._load)

    def launch(self, jobs: Sequence[Job], watch: Watch, stop: StopFile) -> None:
        """Hand jobs to the launcher, those of dead workers again, and see all to their end."""
        waiting = []
        for job in jobs:
            if job.error is None:
                grid.check_finished(job)
            if job.error is not None:
                watch.ended(job, _failed(job))
            elif is_finished(job.folder):
                watch.ended(job, (read_status(job.folder) or Status("skipped")).but(state="skipped"))
            else:
                make_waiting(job.folder)
                waiting.append(job)
        watch.follow(waiting)
        broken = None
        for _ in range(1 + self.retries):
            if not waiting or stop.asked():
                break
            try:
                self.launcher.launch([self._launched(job) for job in waiting], initial_job_idx=0)
            except Exception as error:  # a worker that died takes the launcher with it, but not the sweep
                broken = one_line(f"{type(error).__name__}: {error}")
                log.debug("launcher", exc_info=True)
            waiting = [job for job in waiting if _state(job) in ("waiting", "running")]
        for job in waiting:
            status = read_status(job.folder) or Status("waiting")
            if not stop.asked():
                status = status.but(
                    state="failed", cause=f"its worker died: {status.cause or broken or 'it said nothing'}"
                )
                status.write(job.folder)
            watch.ended(job, status)

    def _load(self, overrides: list[str]) -> DictConfig:
        return self.loader.load_sweep_config(self.config, overrides)

    def _launched(self, job: Job) -> list[str]:
        where = [f"hydra.sweep.dir={quoted(self.folder)}", f"hydra.sweep.subdir={job.name}", "hydra.mode=MULTIRUN"]
        return [*job.overrides, *where]

    def _compare(self) -> None:
        try:
            from fer.comparison.compare import compare
        except ImportError as error:
            self.console.print(f"no comparison: {error}", markup=False)
            return
        compare([self.folder], self.folder)

    def _carefully(self, failure: str, act: Callable[[], Any]) -> None:
        """Do what must not cost the sweep anything if it fails."""
        handler = ConsoleHandler()
        logging.getLogger().addHandler(handler)
        logging.getLogger().setLevel(logging.INFO)
        try:
            act()
        except Exception as error:
            with replacing(self.folder / "sweep_error.txt") as file:
                file.write(traceback.format_exc())
            log.error("%s: %s", failure, one_line(str(error) or type(error).__name__))
        finally:
            logging.getLogger().removeHandler(handler)


@contextmanager
def _only_sweep(folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(only_writer(folder))
        except RunError:
            told = f"{folder} is being written by another sweep; wait for it, or give another hydra.sweep.dir"
            raise RunError(told) from None
        yield


def _launcher(config: DictConfig, loader: ConfigLoader) -> Launcher:
    """The launcher of the config, as Hydra makes it.

    Raises:
        ConfigError: its plugin is not installed.
    """
    context = HydraContext(config_loader=loader, callbacks=Callbacks())
    try:
        return Plugins.instance().instantiate_launcher(context, run_job, config)
    except (RuntimeError, ImportError, InstantiationException) as error:
        chosen = config.hydra.runtime.choices["hydra/launcher"]
        extra = "slurm" if "submitit" in chosen else chosen
        told = one_line(str(error)).partition(", set env")[0]
        raise ConfigError(f"hydra/launcher={chosen} cannot be had ({told}); pip install -e '.[{extra}]'") from None


def _console(**options: Any) -> Console:
    """As wide as the terminal; wide enough for long names where there is none."""
    console = Console(soft_wrap=True, **options)
    return console if console.is_terminal else Console(soft_wrap=True, width=200, **options)


def _state(job: Job) -> str:
    status = read_status(job.folder)
    return "waiting" if status is None else status.state


def _failed(job: Job) -> Status:
    status = Status("failed", exit_status=1, cause=job.error)
    if not is_finished(job.folder):
        status.write(job.folder)
    return status


def _is_pooled(run: Path, folds: Sequence[Job]) -> bool:
    """Whether the result of a run is of its folds as they stand: one that was trained again is newer."""
    if not is_finished(run):
        return False
    pooled = (run / METRICS).stat().st_mtime_ns
    return all((job.folder / METRICS).stat().st_mtime_ns <= pooled for job in folds)


def _pool(folds: Sequence[Job]) -> None:
    from fer.evaluation.folds import pool_folds

    run, config = folds[0].folds_of, folds[0].config
    assert run is not None
    assert config is not None
    with open_dict(config):
        config.folds = "all"
    with replacing(run / CONFIG) as file:
        file.write(OmegaConf.to_yaml(config, resolve=True))
    pool_folds([job.folder for job in sorted(folds, key=_fold)], run)


def _fold(job: Job) -> int:
    assert job.config is not None
    return int(job.config.data.fold)
