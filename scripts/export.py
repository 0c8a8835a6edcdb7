"""A model for deployment: python scripts/export.py checkpoint=outputs/DATE/TIME format=onnx"""

from omegaconf import DictConfig

from fer.cli.app import command


@command("export")
def main(cfg: DictConfig) -> None:
    from fer.export.export import export

    export(
        cfg.checkpoint,
        cfg.format,
        cfg.precision,
        cfg.output,
        images=cfg.images,
        root=cfg.data.root,
        own_network=cfg.get("model"),
    )


if __name__ == "__main__":
    main()
