"""Train, select on validation, test the best checkpoint once: python scripts/train.py model=resnet50 data=ckplus"""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from fer.cli.app import command, given_overrides, output_folder
from fer.sweeps.folds import fold_wise, train_folds
from fer.sweeps.grid import run_config
from fer.sweeps.job import command_options, in_sweep, run_job
from fer.sweeps.process import end_with_parent


@command("train")
def main(cfg: DictConfig) -> float | None:
    if in_sweep():
        return run_job()
    cfg = run_config(cfg)
    if fold_wise(cfg, output_folder()):
        return train_folds(cfg, output_folder(), given_overrides(), command_options(HydraConfig.get()))
    from fer.training.train import train

    train(cfg, output_folder(), given_overrides())
    return None


if __name__ == "__main__":
    end_with_parent()
    main()
