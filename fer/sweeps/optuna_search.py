"""`hydra/sweeper=optuna_search`: validation accuracy of the trials so far decides what to try next."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from fer.errors import ConfigError
from fer.sweeps.grid import Job, leaves_result
from fer.sweeps.job import OBJECTIVE, objective
from fer.sweeps.sweeper import GridSweeper

JOURNAL = "optuna.journal"  # the study, in the folder of the sweep
JOB, COMMAND = "job", "asked"  # attributes of a trial and of the study; studies of earlier versions have them too


class OptunaSweeper(GridSweeper):
    """As many trials as asked for. The study is a file in the sweep's folder, so the same command resumes it.

    Args:
        params: key -> `choice(…)`, `range(…)` or `interval(…)`.
        trials: in all.
        at_once: trials proposed together, for a launcher that runs several at a time.
        seed: of the proposals.
        retries: see `GridSweeper`.
    """

    def __init__(
        self,
        params: Mapping[str, Any] | None = None,
        trials: int = 20,
        at_once: int = 1,
        seed: int = 0,
        retries: int = 1,
    ) -> None:
        super().__init__(params, retries, compare=False)  # trials are selected on validation, their tests tell nothing
        self.trials, self.at_once, self.seed = trials, at_once, seed

    def make_jobs(self, overrides: dict[str, Override]) -> list[Job]:
        """None yet: Optuna proposes them one after the other."""
        _optuna()
        if not any(override.is_sweep_override() for override in overrides.values()):
            raise ConfigError("nothing to search: give e.g. 'optimizer.lr=tag(log,interval(1e-5,1e-2))'")
        return []

    def count(self, jobs: Sequence[Job]) -> int:
        return self.trials

    def run_jobs(self, jobs: list[Job], overrides: dict[str, Override]) -> list[Job]:
        """Ask for trials, launch them and report their accuracy, until there are enough."""
        optuna = _optuna()
        study = self._study(optuna)
        self._check_command(study, overrides)
        self.watch.before(self._resume(optuna, study))
        space = {key: override for key, override in overrides.items() if override.is_sweep_override()}
        complete, jobs = _complete(optuna, study), []
        while complete + len(jobs) < self.trials and not self.stop.asked():
            batch = []
            for _ in range(min(self.at_once, self.trials - complete - len(jobs))):
                trial = study.ask()
                job = self.make_job({key: propose(trial, key, value) for key, value in space.items()}, overrides)
                trial.set_user_attr(JOB, job.name)
                batch.append((trial, job))
            by_name = {job.name: job for _, job in batch}  # two trials may have the same values
            self.launch(list(by_name.values()))
            for trial, job in batch:
                job = by_name[job.name]
                accuracy = None if job.error else objective(job.folder)
                if accuracy is not None:
                    study.tell(trial, accuracy)
                elif not self.stop.asked():
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                jobs.append(job)
        self._print_best(optuna, study)
        return jobs

    def _study(self, optuna: Any) -> Any:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = JournalStorage(JournalFileBackend(str(self.folder / JOURNAL)))
        study = optuna.create_study(study_name="sweep", storage=storage, direction="maximize", load_if_exists=True)
        seed = self.seed + len(study.get_trials(deepcopy=False))  # or a resumed study would propose the same again
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=self.at_once > 1)
        return study

    def _check_command(self, study: Any, overrides: dict[str, Override]) -> None:
        """Trials of other data, models or ranges do not belong to this search.

        Raises:
            ConfigError: the study in this folder is of another command.
        """
        command = sorted(
            str(override.input_line)
            for key, override in overrides.items()
            if not (
                key in ("sweep", "figures", "jobs") or key.startswith("hydra.") or ("." in key and leaves_result(key))
            )
        )
        before = study.user_attrs.get(COMMAND)
        if before is not None and before != command and study.get_trials(deepcopy=False):
            only = [" ".join(sorted(set(a) - set(b))) or "nothing" for a, b in ((before, command), (command, before))]
            raise ConfigError(
                f"{self.folder / JOURNAL} is a study of another command: {only[0]} there, {only[1]} here; give another "
                "hydra.sweep.dir, or remove it"
            )
        study.set_user_attr(COMMAND, command)

    def _resume(self, optuna: Any, study: Any) -> int:
        """Propose the trials again that were stopped or failed; returns how many are complete."""
        states = optuna.trial.TrialState
        again = []
        for trial in study.get_trials(deepcopy=False):
            if trial.state == states.RUNNING:
                study.tell(trial.number, state=states.FAIL)
                again.append(trial)
            elif trial.state == states.FAIL and trial.params:
                again.append(trial)
        trials = study.get_trials(deepcopy=False)
        complete = [trial.params for trial in trials if trial.value is not None]
        proposed = [trial.system_attrs.get("fixed_params") for trial in trials if trial.state == states.WAITING]
        known = complete + proposed
        for trial in again:
            if trial.params not in known:
                known.append(trial.params)
                study.enqueue_trial(trial.params)
        return len(complete)

    def _print_best(self, optuna: Any, study: Any) -> None:
        if not _complete(optuna, study):
            return
        best = study.best_trial
        values = " ".join(f"{key}={_text(value)}" for key, value in best.params.items())
        line = f"\nbest {OBJECTIVE} {best.value:.2%}: {values}  ({best.user_attrs.get(JOB)})"
        self.watch.console.print(line, highlight=False)


def propose(trial: Any, key: str, override: Override) -> str:
    """The value of a key in a trial, as on the command line.

    Args:
        trial: of Optuna.
        key: of the config.
        override: `choice(…)`, `range(…)`, `interval(…)` or comma-separated values; tagged `log` on a log scale.
    """
    value = override.value()
    log = isinstance(value, IntervalSweep | RangeSweep) and "log" in value.tags
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        if isinstance(low, int) and isinstance(high, int):
            return str(trial.suggest_int(key, low, high, log=log))
        assert low is not None
        assert high is not None
        return _text(trial.suggest_float(key, float(low), float(high), log=log))
    if isinstance(value, RangeSweep) and all(isinstance(part, int) for part in (value.start, value.stop, value.step)):
        assert isinstance(value.stop, int)
        return str(trial.suggest_int(key, value.start, value.stop - 1, step=value.step))
    if isinstance(value, ChoiceSweep | RangeSweep):
        return str(trial.suggest_categorical(key, list(override.sweep_string_iterator())))
    raise ConfigError(f"{override.input_line}: give values, range(a,b), interval(a,b) or tag(log,interval(a,b))")


def _text(value: Any) -> str:
    """Three digits are enough for a rate, and for the name of a folder."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _complete(optuna: Any, study: Any) -> int:
    return sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.get_trials(deepcopy=False))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError("sweep=optuna needs Optuna: pip install -e '.[optuna]'") from None
    return optuna
