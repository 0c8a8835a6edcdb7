"""Train, select on validation, test the best checkpoint once: python scripts/train.py model=resnet50 data=ckplus"""

from omegaconf import DictConfig

from fer.cli import command, given_overrides, output_folder


@command("train")
def main(cfg: DictConfig) -> None:
    from fer.training.run import train

    train(cfg, output_folder(), given_overrides())


if __name__ == "__main__":
    main()
