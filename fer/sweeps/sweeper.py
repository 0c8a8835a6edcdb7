"""`hydra/sweeper=grid`: jobs are processes of their own, survive each other, and resume where they stopped."""

import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, InstantiationException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from fer.config.check import check_hydra
from fer.config.explain import explain
from fer.console import ConsoleHandler
from fer.errors import ConfigError, exit_in_one_line
from fer.files import replacing
from fer.runs.folder import RunFolder
from fer.runs.status import Status, one_line, read_status
from fer.sweeps import grid
from fer.sweeps.compose import Composer
from fer.sweeps.grid import Job
from fer.sweeps.job import command_options, make_waiting, objective, quoted, run_job, train_in_process
from fer.sweeps.process import StopFile, announce_driver, stopped_by_signals
from fer.sweeps.side_by_side import share_machine, side_by_side

if TYPE_CHECKING:  # rich takes a tenth of a second, and `--help` needs none of it
    from fer.sweeps.watch import Watch

log = logging.getLogger(__name__)


class GridSweeper(Sweeper):
    """Every combination of the values that are swept.

    Args:
        params: key -> values, as a sweep file gives them; the command line takes precedence.
        retries: how often to start a job again that a signal ended, or whose worker died.
        compare: whether to compare the runs at the end.
    """

    hydra_context: HydraContext
    config: DictConfig
    launcher: Launcher
    watch: "Watch"
    stop: StopFile

    def __init__(self, params: Mapping[str, Any] | None = None, retries: int = 1, compare: bool = True) -> None:
        self.params, self.retries, self.compare = dict(params or {}), retries, compare

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's own call; the task is not used, for each job is a command of its own."""
        self.hydra_context, self.config = hydra_context, config
        self.folder = Path(config.hydra.sweep.dir)
        self.compose = Composer(self._load, hydra_context.config_loader, bool(config.hydra.searchpath))

    def sweep(self, arguments: list[str]) -> list[float | None]:
        """Run all jobs, then print the summary, pool folds and compare.

        Args:
            arguments: overrides of the command line.

        Returns:
            Validation accuracy of each job.

        Raises:
            SystemExit: 1 where a job failed or the sweep cannot start; 130 and 143 where Ctrl-C and SIGTERM stopped it.
        """
        with exit_in_one_line():
            check_hydra(self.config.hydra)
            return self._sweep([*(f"{key}={value}" for key, value in self.params.items()), *arguments])

    def _sweep(self, arguments: list[str]) -> list[float | None]:
        from fer.sweeps.watch import Watch, print_failures, print_summary, wide_console

        console, self.launcher = wide_console(), _launcher(self.config, self.hydra_context)
        try:
            overrides = grid.parse(arguments, self.hydra_context.config_loader)
        except HydraException as error:
            raise ConfigError(one_line(str(error))) from error
        jobs = self.make_jobs(overrides)
        with RunFolder(self.folder).only_writer("another sweep", "hydra.sweep.dir"):
            with replacing(self.folder / "multirun.yaml") as file:
                file.write(OmegaConf.to_yaml(self.config))
            announce_driver()
            for name in ("hydra", "hydra_plugins"):  # they announce each job; the watch does so already
                logging.getLogger(name).setLevel(logging.WARNING)
            with stopped_by_signals(self.folder) as self.stop, Watch(self.count(jobs), console) as self.watch:
                jobs = self.run_jobs(jobs, overrides)
            print_summary(jobs, self.watch.outcomes, self.folder, console)
            if self.stop.status:
                console.print("stopped; resume with the same command", highlight=False)
            else:
                self.finish(jobs, [job for job in jobs if job.error is None and job.folder.is_finished()])
            failed = print_failures(jobs, self.watch.outcomes, wide_console(stderr=True))
        sys.stdout.flush()
        if self.stop.status or failed:
            raise SystemExit(self.stop.status or 1)
        return [objective(job.folder) for job in jobs]

    def make_jobs(self, overrides: dict[str, Override]) -> list[Job]:
        """The jobs that are known before any has run.

        Raises:
            ConfigError: there are none, or none can be composed.
        """
        jobs = [self.make_job(varied, overrides) for varied in grid.combinations(overrides)]
        if not jobs:
            raise ConfigError("nothing to run: something that is swept has no values (seeds=0, an empty range)")
        if all(job.error for job in jobs):  # a mistake in what they share
            raise ConfigError(str(jobs[0].error))
        grid.name_apart(jobs, self.folder)
        return jobs

    def make_job(self, varied: dict[str, str], overrides: dict[str, Override]) -> Job:
        return grid.make_job(varied, overrides, self.folder, self.config.hydra.runtime.choices, self.compose)

    def _load(self, overrides: list[str]) -> DictConfig:
        loader = self.hydra_context.config_loader
        try:
            return loader.load_sweep_config(self.config, overrides)
        except HydraException as error:
            raise ConfigError(explain(error, overrides, loader, grid.CONFIG)) from error

    def count(self, jobs: Sequence[Job]) -> int:
        """How many jobs the sweep will have."""
        return len(jobs)

    def run_jobs(self, jobs: list[Job], overrides: dict[str, Override]) -> list[Job]:
        """Launch the jobs that are not finished; returns all."""
        self.launch(jobs)
        return jobs

    def finish(self, jobs: Sequence[Job], finished: Sequence[Job]) -> None:
        """Pool the folds of each run, then compare the runs."""
        for run in dict.fromkeys(job.folds_of for job in jobs if job.folds_of is not None):
            folds = [job for job in jobs if job.folds_of == run]
            if all(job in finished for job in folds) and not _is_pooled(RunFolder(run), folds):
                self._try(f"the folds of {run.name} were not pooled", partial(_pool, folds))
        if self.compare and finished:
            self._try("the runs were not compared", partial(_compare, self.folder))

    def launch(self, jobs: Sequence[Job]) -> None:
        """Hand jobs to the launcher, those of dead workers again, and wait until all have ended."""
        waiting = [job for job in jobs if self._is_waiting(job)]
        here = self.config.hydra.runtime.choices.get("hydra/launcher") == "basic"
        if not here:
            self.watch.follow(waiting)
        broken = None
        for _ in range(1 + self.retries):
            if not waiting or self.stop.asked():
                break
            try:
                if here:
                    self._train_here(waiting)
                else:
                    self.launcher.launch([self._overrides(job) for job in waiting], initial_job_idx=0)
            except Exception as error:  # a worker that died takes the launcher with it, but not the sweep
                broken = one_line(f"{type(error).__name__}: {error}")
                log.debug("launcher", exc_info=True)
            waiting = [job for job in waiting if _state(job) in ("waiting", "running")]
        for job in waiting:
            status = read_status(job.folder) or Status("waiting")
            if not self.stop.asked():
                cause = f"its worker died: {status.cause or broken or 'no message'}"
                status = status.but(state="failed", cause=cause)
                status.write(job.folder)
            self.watch.ended(job, status)

    def _train_here(self, jobs: Sequence[Job]) -> None:
        """Train jobs as processes of this machine, side by side, until all have ended."""
        sharing = share_machine([job.config for job in jobs if job.config is not None])
        options = command_options(self.config.hydra)
        ours = "hydra" if sharing.at_once == 1 else ("hydra", "jobs=")  # that of a run of folds is its share of cores

        def train(job: Job) -> Status:
            self.watch.follow([job])
            given = [override for override in job.overrides if not override.lstrip("+~").startswith(ours)]
            return train_in_process(job.folder, given, self.stop.asked, self.retries, options, sharing.cores)

        for job, status in side_by_side(jobs, train, sharing.at_once):
            self.watch.ended(job, status)

    def _is_waiting(self, job: Job) -> bool:
        """Whether a job has to run; one that is finished or cannot start has ended."""
        if job.error is None:
            grid.check_finished(job)
        if job.error is not None:
            status = Status("failed", exit_status=1, cause=job.error)
            if not job.folder.is_finished():
                status.write(job.folder)
            self.watch.ended(job, status)
        elif job.folder.is_finished():
            self.watch.ended(job, (read_status(job.folder) or Status("skipped")).but(state="skipped"))
        else:
            make_waiting(job.folder)
            return True
        return False

    def _overrides(self, job: Job) -> list[str]:
        """What the launcher composes a job from."""
        where = [f"hydra.sweep.dir={quoted(self.folder)}", f"hydra.sweep.subdir={job.name}", "hydra.mode=MULTIRUN"]
        alone = [] if "jobs" in map(grid.key_of, job.overrides) else ["jobs=1"]  # the launcher starts several
        return [*job.overrides, *alone, *where]

    def _try(self, failure: str, act: Callable[[], Any]) -> None:
        """Do what must not cost the sweep anything if it fails; its log goes to the console."""
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


def register_sweepers() -> None:
    """Make our sweepers known to Hydra; call it before `hydra.main`.

    Hydra 1.3 instantiates only plugins of packages named `hydra_plugins`, even if others are registered.
    """
    from fer.sweeps.optuna_search import OptunaSweeper

    plugins = Plugins.instance()
    for sweeper in (GridSweeper, OptunaSweeper):
        plugins.register(sweeper)
    is_plugin, known = plugins.is_in_toplevel_plugins_module, plugins.class_name_to_class
    plugins.is_in_toplevel_plugins_module = lambda clazz: clazz in known or is_plugin(clazz)  # type: ignore[method-assign]


def _launcher(config: DictConfig, context: HydraContext) -> Launcher:
    """The launcher of the config.

    Raises:
        ConfigError: its plugin is not installed.
    """
    try:
        return Plugins.instance().instantiate_launcher(context, run_job, config)
    except (RuntimeError, ImportError, InstantiationException) as error:
        chosen = config.hydra.runtime.choices["hydra/launcher"]
        extra = "slurm" if "submitit" in chosen else chosen
        reason = one_line(str(error)).partition(", set env")[0]
        raise ConfigError(f"hydra/launcher={chosen} is not available ({reason}); pip install -e '.[{extra}]'") from None


def _state(job: Job) -> str:
    status = read_status(job.folder)
    return "waiting" if status is None else status.state


def _is_pooled(run: RunFolder, folds: Sequence[Job]) -> bool:
    """Whether the pooled result is of the folds as they are now: a fold that was trained again is newer."""
    if not run.is_finished():
        return False
    pooled = run.metrics_file.stat().st_mtime_ns
    return all(job.folder.metrics_file.stat().st_mtime_ns <= pooled for job in folds)


def _pool(folds: Sequence[Job]) -> None:
    from fer.evaluation.folds import pool_folds
    from fer.reporting.write import write_evaluation

    run, config = folds[0].folds_of, folds[0].config
    assert run is not None
    assert config is not None
    with open_dict(config):
        config.folds = "all"
    RunFolder(run).write_config(config)
    if (choices := folds[0].folder.read_choices()) is not None:
        RunFolder(run).write_choices(choices.without(grid.FOLD))
    in_order = sorted(folds, key=lambda job: job.folder.fold_number or 0)
    write_evaluation(pool_folds([job.folder for job in in_order]), RunFolder(run))


def _compare(folder: Path) -> None:
    from fer.comparison.compare import compare

    compare([folder], folder)
