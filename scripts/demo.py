"""A page to try a model: python scripts/demo.py checkpoint=outputs/DATE/TIME"""

from omegaconf import DictConfig

from fer.cli.app import command


@command("demo")
def main(cfg: DictConfig) -> None:
    if cfg.export:
        from fer.inference.page.static_page import write_static_page

        write_static_page(cfg.export, cfg.checkpoint, cfg.precision, cfg.onnxruntime_web, own_network=cfg.get("model"))
        return
    from fer.inference.page.server import serve

    limits = (cfg.upload_megabytes, cfg.device, cfg.get("model"), cfg.video_megabytes)
    serve(cfg.checkpoint, cfg.host, cfg.port, *limits)


if __name__ == "__main__":
    main()
