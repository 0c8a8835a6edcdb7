"""Pack a data set: python scripts/prepare.py data=fer2013 data.source=PATH"""

from omegaconf import DictConfig

from fer.cli.app import command


@command("prepare")
def main(cfg: DictConfig) -> None:
    from fer.cli.prepare import prepare

    data = cfg.data
    prepare(data.pack or data.name, data.source, data.root, data.store_size, data.votes, data.faces, data.align)


if __name__ == "__main__":
    main()
