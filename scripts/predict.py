"""Emotions in one's own pictures: python scripts/predict.py checkpoint=outputs/DATE/TIME input=photos"""

from omegaconf import DictConfig, ListConfig

from fer.cli.app import command, output_folder


@command("predict")
def main(cfg: DictConfig) -> None:
    from fer.inference.inputs import Options
    from fer.inference.predict import predict

    predict(
        cfg.checkpoint,
        [str(one) for one in cfg.input] if isinstance(cfg.input, ListConfig) else cfg.input,
        output_folder(),
        Options(
            faces=cfg.faces,
            smallest_face=cfg.smallest_face,
            batch_size=cfg.batch_size,
            annotate=cfg.annotate,
            contact_sheet=cfg.contact_sheet,
            page=cfg.page,
            frames_per_second=cfg.video.frames_per_second,
            smoothing=cfg.video.smoothing,
            seconds=cfg.video.seconds,
        ),
        device=cfg.device,
        precision=cfg.precision,
        own_network=cfg.get("model"),
    )


if __name__ == "__main__":
    main()
