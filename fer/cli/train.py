"""What `train.py` was asked for: one run, a run of all folds, or one job of a sweep."""

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fer.cli.app import given_overrides, output_folder
from fer.errors import RunError
from fer.runs.choices import Choices
from fer.runs.folder import RunFolder
from fer.runs.resume import check_resume
from fer.runs.status import read_status
from fer.sweeps.folds import is_run_of_folds, train_folds
from fer.sweeps.grid import run_config
from fer.sweeps.job import command_options, run_job


def train(cfg: DictConfig) -> float | None:
    """Train as `conf/train.yaml` composes it.

    Returns:
        Validation accuracy of a run of all folds and of a sweep's job, for those who sweep.

    Raises:
        FERError: what a user can fix, in one line.
    """
    folder = output_folder()
    if HydraConfig.get().mode == RunMode.MULTIRUN:  # another sweeper than ours chose this job
        if (accuracy := run_job()) is None:
            status = read_status(folder)
            raise RunError(f"{folder} {status.state if status else 'failed'}; see {RunFolder(folder).log_file}")
        return accuracy
    cfg = run_config(cfg)
    choices = Choices.of_command(HydraConfig.get().runtime.choices, given_overrides())
    if is_run_of_folds(cfg, folder):
        return train_folds(cfg, folder, given_overrides(), command_options(HydraConfig.get()), choices)
    RunFolder(folder).check_unfinished()
    check_resume(cfg, folder, given_overrides())
    from fer.training.train import train as train_once

    train_once(cfg, folder, given_overrides(), choices)
    return None
