"""Train, select on validation, test the best checkpoint once: python scripts/train.py model=resnet50 data=ckplus"""

from omegaconf import DictConfig

from fer.cli.app import command
from fer.sweeps.process import end_with_parent
from fer.sweeps.sweeper import register_sweepers


@command("train")
def main(cfg: DictConfig) -> float | None:
    from fer.cli.train import train

    return train(cfg)


if __name__ == "__main__":
    end_with_parent()
    register_sweepers()
    main()
