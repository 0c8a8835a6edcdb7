"""Compare finished runs: python scripts/compare.py runs=outputs/sweeps/paper"""

from omegaconf import DictConfig

from fer.cli.app import command


@command("compare")
def main(cfg: DictConfig) -> None:
    from fer.comparison.compare import compare, output_folder

    folder = output_folder(cfg.runs, cfg.output)
    compare(cfg.runs, folder, measure=cfg.measure, architectures=cfg.architectures)


if __name__ == "__main__":
    main()
