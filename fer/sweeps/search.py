"""Search by Optuna: validation accuracy of the trials so far tells what to try next."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from fer.errors import ConfigError
from fer.sweeps.grid import Job, done_elsewhere
from fer.sweeps.job import OBJECTIVE, objective
from fer.sweeps.stop import StopFile
from fer.sweeps.sweeper import Grid
from fer.sweeps.watch import Watch

JOURNAL, JOB, ASKED = "optuna.journal", "job", "asked"


class Search(Grid):
    """As many trials as asked for; the study stands in the sweep's folder, so the same command goes on with it.

    Args:
        trials: in all.
        at_once: trials proposed together, for a launcher that runs several at a time.
        seed: of the proposals.
        options: of `Grid`.
    """

    def __init__(self, trials: int = 20, at_once: int = 1, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.trials, self.at_once, self.seed = trials, at_once, seed

    def first_jobs(self, overrides: dict[str, Override]) -> list[Job]:
        _optuna()
        if not any(override.is_sweep_override() for override in overrides.values()):
            raise ConfigError("nothing to search: give e.g. 'optimizer.lr=tag(log,interval(1e-5,1e-2))'")
        return []

    def total(self, jobs: Sequence[Job]) -> int:
        return self.trials

    def run_all(self, jobs: list[Job], overrides: dict[str, Override], watch: Watch, stop: StopFile) -> list[Job]:
        optuna = _optuna()
        study = self._study(optuna)
        self._check_asked(study, overrides)
        space = {key: override for key, override in overrides.items() if override.is_sweep_override()}
        self._take_up(optuna, study, watch, overrides)
        done, jobs = _complete(optuna, study), []
        while done + len(jobs) < self.trials and not stop.asked():
            count = min(self.at_once, self.trials - done - len(jobs))
            batch = []
            for _ in range(count):
                trial = study.ask()
                varied = {key: propose(trial, key, override) for key, override in space.items()}
                job = self.make_job(varied, overrides)
                trial.set_user_attr(JOB, job.name)
                batch.append((trial, job))
            once = {job.name: job for _, job in batch}  # two trials may be of one choice
            self.launch(list(once.values()), watch, stop)
            for trial, job in batch:
                job = once[job.name]
                value = None if job.error else objective(job.folder)
                if value is not None:
                    study.tell(trial, value)
                elif not stop.asked():
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
            jobs += [job for _, job in batch]
        self._tell_best(optuna, study)
        return jobs

    def finish(self, jobs: Sequence[Job], done: Sequence[Job]) -> None:
        """Trials are selected on validation: there is nothing to compare by their tests."""

    def _study(self, optuna: Any) -> Any:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = JournalStorage(JournalFileBackend(str(self.folder / JOURNAL)))
        study = optuna.create_study(study_name="sweep", storage=storage, direction="maximize", load_if_exists=True)
        seed = self.seed + len(study.get_trials(deepcopy=False))  # or a study that goes on would begin anew
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=self.at_once > 1)
        return study

    def _check_asked(self, study: Any, overrides: dict[str, Override]) -> None:
        """Trials of other data, models or ranges are no trials of this search.

        Raises:
            ConfigError: the study that stands here was of another command.
        """
        asked = sorted(
            str(override.input_line)
            for key, override in overrides.items()
            if not (key in ("sweep", "figures") or key.startswith("hydra.") or ("." in key and done_elsewhere(key)))
        )
        before = study.user_attrs.get(ASKED)
        if before is not None and before != asked and study.get_trials(deepcopy=False):
            less, more = (" ".join(sorted(set(a) - set(b))) or "nothing" for a, b in ((before, asked), (asked, before)))
            raise ConfigError(
                f"{self.folder / JOURNAL} is a study of another command: {less} there, {more} here; give another "
                "hydra.sweep.dir, or remove it"
            )
        study.set_user_attr(ASKED, asked)

    def _take_up(self, optuna: Any, study: Any, watch: Watch, overrides: dict[str, Override]) -> None:
        """Count the trials that are complete; propose those again that were stopped or failed."""
        again = []
        for trial in study.get_trials(deepcopy=False):
            if trial.state == optuna.trial.TrialState.RUNNING:
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                again.append(trial)
            elif trial.state == optuna.trial.TrialState.FAIL and trial.params:
                again.append(trial)
        trials = study.get_trials(deepcopy=False)
        complete = [trial.params for trial in trials if trial.value is not None]
        watch.before(len(complete))
        waiting = [
            trial.system_attrs.get("fixed_params")  # what enqueue_trial was given
            for trial in trials
            if trial.state == optuna.trial.TrialState.WAITING
        ]
        known = complete + waiting
        for trial in again:
            if trial.params not in known:
                known.append(trial.params)
                study.enqueue_trial(trial.params)

    def _tell_best(self, optuna: Any, study: Any) -> None:
        if not _complete(optuna, study):
            return
        best = study.best_trial
        told = " ".join(f"{key}={_text(value)}" for key, value in best.params.items())
        self.console.print(
            f"\nbest {OBJECTIVE} {best.value:.2%}: {told}  ({best.user_attrs.get(JOB)})", highlight=False
        )


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
