"""Throughput of training, or of answers, against others': python scripts/benchmark.py data.image_size=224"""

from omegaconf import DictConfig

from fer.cli.app import command, output_folder


@command("benchmark")
def main(cfg: DictConfig) -> None:
    if cfg.checkpoint:
        from fer.inference.answering import answering

        answering(cfg, output_folder())
        return
    from fer.training.benchmark import benchmark
    from fer.training.time_to_accuracy import time_to_accuracy

    (time_to_accuracy if cfg.targets else benchmark)(cfg, output_folder())


if __name__ == "__main__":
    main()
