"""Evaluate a trained model, or an ensemble: python scripts/evaluate.py checkpoint=outputs/DATE/TIME data=ckplus"""

from pathlib import Path

from omegaconf import DictConfig

from fer.cli.app import command, given_overrides, output_folder


@command("evaluate")
def main(cfg: DictConfig) -> None:
    from fer.cli.evaluate import OUTPUTS, evaluate

    folder: Path | None = output_folder()
    evaluate(cfg, None if folder == OUTPUTS else folder, given_overrides())


if __name__ == "__main__":
    main()
