"""What a run or evaluation did, in words, from its config and its numbers."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

NAMES = {"train": "training", "val": "validation", "test": "test", "all": "all images"}  # of splits


def facts(metrics: Mapping[str, Any], config: DictConfig | None) -> list[tuple[str, str]]:
    """Names and values, in the order in which a reader wants them.

    Args:
        metrics: by the names of `metrics.json`.
        config: of the run; None for an evaluation.
    """
    done = (
        _of_evaluation(metrics)
        if config is None
        else _of_config(config, "folds" in metrics, bool(metrics.get("test/held_out")))
    )
    rows = [*done, *_of_metrics(metrics, config)]
    return [(name, value) for name, value in rows if value]


def run_title(metrics: Mapping[str, Any], config: DictConfig | None) -> str:
    """`resnet18 on fer2013`."""
    if config is None:
        return f"{_checkpoints(metrics)} on {metrics.get('data', 'unknown data')}"
    return f"{_backbone(config)} on {data_name(config)}"


def _checkpoints(metrics: Mapping[str, Any]) -> str:
    return _joined(metrics.get("checkpoint", "a checkpoint"))


def _joined(value: Any) -> str:
    """One value, or several that vote."""
    return " + ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def _backbone(config: DictConfig) -> str:
    backbone = OmegaConf.select(config, "model.backbone")
    return str(backbone).split(".")[0] if backbone else str(OmegaConf.select(config, "model._target_"))


def data_name(config: DictConfig) -> str:
    """What the run calls its data."""
    return str(OmegaConf.select(config, "data.name") or "unknown data")


def _of_evaluation(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("checkpoint", _checkpoints(metrics)),
        ("evaluated on", f"{metrics.get('data', 'unknown data')}, {metrics.get('split', 'test')}{_folds(metrics)}"),
        ("trained on", _joined(metrics.get("trained_on"))),
        ("views of each image", str(metrics.get("tta", "none"))),
        ("side of images", f"{metrics['image_size']} px" if metrics.get("image_size") else ""),
        ("temperature", _temperature(metrics)),
        ("classes", ", ".join(metrics.get("classes") or [])),
    ]


def _folds(metrics: Mapping[str, Any]) -> str:
    count = len(metrics.get("folds") or [])
    return f" of all {count} folds, each asked of the model that was not trained on it" if count else ""


def _of_config(config: DictConfig, pooled: bool, held_out: bool) -> list[tuple[str, str]]:
    def of(path: str) -> Any:
        return OmegaConf.select(config, path)

    def built(path: str, leave_out: Sequence[str] = ()) -> str:
        node = of(path)
        if not isinstance(node, DictConfig):
            return ""
        name = str(node.get("_target_")).rsplit(".", 1)[-1]
        plain = OmegaConf.to_container(node)
        assert isinstance(plain, dict)
        settings = {str(key): value for key, value in plain.items() if value not in (None, 0, "none")}
        told = {key: value for key, value in settings.items() if not key.startswith("_") and key not in leave_out}
        return name + "".join(f", {key} {value}" for key, value in told.items())

    limit = of("trainer.limit_train_batches")
    limit = "" if limit is None else f" of {limit} batches (of all, where 1 or less)"
    fold = ", the last tenth of each emotion by name tests" if held_out else ", its own split"
    if of("data.folds"):
        which = f"all {of('data.folds')} folds" if pooled else f"fold {of('data.fold')} of {of('data.folds')}"
        fold = f", {which}, by people"
    return [
        ("data", f"{data_name(config)}{fold}, images of {of('data.image_size') or 'stored'} px"),
        ("network", f"{of('model.backbone') or of('model._target_')}, weights {of('model.weights')}"),
        ("optimizer", built("optimizer", ["fused"])),
        ("rates of stages", built("rates")),
        ("schedule", built("scheduler")),
        ("freezing", _freezing(of("freeze.trainable")) or built("freeze")),
        ("loss", built("loss")),
        ("augmentation", built("augment")),
        ("mixing", built("mix") if of("mix.mixup") or of("mix.cutmix") else "none"),
        ("averaged weights", f"decay {of('module.ema_decay')}" if of("module.ema_decay") else "no"),
        ("course", f"{of('trainer.max_epochs')} epochs{limit}, batches of {of('data.batch_size')}, seed {of('seed')}"),
    ]


def _temperature(metrics: Mapping[str, Any]) -> str:
    value, source = metrics.get("temperature"), metrics.get("temperature_fitted_on")
    return "" if value is None or source is None else f"{value:.3f}, fitted on {source}"


def _chosen_by(config: DictConfig | None) -> str:
    """What the best checkpoint was selected by."""
    node = OmegaConf.select(config, "callbacks.best") if config is not None else None
    if not isinstance(node, DictConfig):
        return "on validation"
    words = [str(node.get(key)).replace("val/", "validation ") for key in ("monitor", "tie") if node.get(key)]
    return f"by {', then '.join(words)}"


def _freezing(starts: Any) -> str:
    """What trains from when, where the config says it as pairs of a start and a number of stages."""
    if not isinstance(starts, ListConfig):
        return ""
    if list(starts) == [[0, "all"]]:
        return "none"
    told = ("all stages" if stages == "all" else f"the {stages} stage(s) next to the output" for _, stages in starts)
    return "; ".join(f"from {start} on {what} train" for (start, _), what in zip(starts, told, strict=True))


def _of_metrics(metrics: Mapping[str, Any], config: DictConfig | None) -> list[tuple[str, str]]:
    counts = {name: metrics.get(f"{split}/images") for split, name in NAMES.items()}
    sizes = [f"{count:,} {name}" for name, count in counts.items() if count]
    rows = [("images", ", ".join(sizes))]
    if "best_epoch" in metrics:
        rows.append(("chosen", f"epoch {metrics['best_epoch']} (from 0), {_chosen_by(config)}"))
    if metrics.get("parameters"):
        macs = metrics.get("macs")
        cost = f", {macs / 1e9:.2f} billion multiply-accumulates for an image" if macs else ""
        rows.append(("size", f"{metrics['parameters'] / 1e6:.1f} million parameters{cost}"))
    if metrics.get("train_seconds"):
        speed, memory = metrics.get("train_images_per_second"), metrics.get("peak_memory_bytes")
        took = f"{timedelta(seconds=round(metrics['train_seconds']))} of training"
        took += f", {speed:,.0f} images a second" if speed else ""
        took += f", {memory / 2**30:.1f} GiB of memory at most" if memory else ""
        rows.append(("cost", took))
    if metrics.get("device"):
        rows.append(("machine", f"{metrics['device']}, precision {metrics.get('precision', 'unknown')}"))
    return rows
