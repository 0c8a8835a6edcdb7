"""The best of three ResNets on FER2013 in a given time on one GPU: python scripts/record.py data.root=PACKS"""

from omegaconf import DictConfig

from fer.cli.app import command, output_folder


@command("record")
def main(cfg: DictConfig) -> None:
    from fer.sweeps.record import record

    record(cfg, output_folder())


if __name__ == "__main__":
    main()
