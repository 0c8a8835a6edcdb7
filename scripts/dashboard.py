"""TensorBoard over runs, by the names of the comparison: python scripts/dashboard.py runs=outputs"""

from omegaconf import DictConfig

from fer.cli.app import command


@command("dashboard")
def main(cfg: DictConfig) -> None:
    from fer.comparison.dashboard import serve

    serve(cfg.runs if isinstance(cfg.runs, str) else list(cfg.runs), cfg.host, cfg.port)


if __name__ == "__main__":
    main()
