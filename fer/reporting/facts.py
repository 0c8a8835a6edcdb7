"""What a run or evaluation did, and what its numbers do not say: words from config, metrics and data set."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from fer.data.datasets import dataset

NAMES = {"train": "training", "val": "validation", "test": "test", "all": "all images"}  # of splits
EXPRESSIONS_ARE_NOT_FEELINGS = (
    "Expressions are not feelings. The model predicts what a face looks like to those who labelled the images. What a "
    "person feels cannot be read off it reliably (Barrett et al., Psychological Science in the Public Interest 2019). "
    "Do not decide about people by it. In the European Union, inferring emotions at work and in education is forbidden "
    "(AI Act, Article 5)."
)
LIMITS_OF_ANY_MODEL = (
    "It predicts one of its {classes} classes for every image, even where there is no face or another expression. Low "
    "probabilities are the only hint.",
    "The numbers hold for images like those of the test: same source, same way of cropping. Other cameras, ages, poses "
    "and cultures usually give lower numbers.",
)
NO_GROUPS = (
    "Differences between groups of people were not measured: nothing is known of who is on the images. Where it is, "
    "put groups.csv beside the data (docs/data.md)."
)


def facts(metrics: Mapping[str, Any], config: DictConfig | None) -> list[tuple[str, str]]:
    """Names and values, in the order in which a reader wants them.

    Args:
        metrics: by the names of `metrics.json`.
        config: of the run; None for an evaluation.
    """
    rows = _of_evaluation(metrics) if config is None else _of_config(config, metrics)
    return [(name, value) for name, value in [*rows, *_of_metrics(metrics, config)] if value]


def run_title(metrics: Mapping[str, Any], config: DictConfig | None) -> str:
    """`resnet18 on fer2013`."""
    if config is None:
        return f"{_joined(metrics.get('checkpoint', 'a checkpoint'))} on {metrics.get('data', 'unknown data')}"
    backbone = OmegaConf.select(config, "model.backbone")
    network = str(backbone).split(".")[0] if backbone else OmegaConf.select(config, "model._target_")
    return f"{network} on {data_name(config)}"


def data_name(config: DictConfig) -> str:
    """What the run calls its data."""
    return str(OmegaConf.select(config, "data.name") or "unknown data")


def _joined(value: Any) -> str:
    """One value, or those of the members of an ensemble."""
    return " + ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def _of_evaluation(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    folds, temperature = len(metrics.get("folds") or []), metrics.get("temperature")
    split = f"{metrics.get('data', 'unknown data')}, {metrics.get('split', 'test')}"
    fitted_on = metrics.get("temperature_fitted_on")
    return [
        ("checkpoint", _joined(metrics.get("checkpoint", "a checkpoint"))),
        ("evaluated on", f"{split} of all {folds} folds, each by the model not trained on it" if folds else split),
        ("trained on", _joined(metrics.get("trained_on"))),
        ("test-time augmentation", str(metrics.get("tta", "none"))),
        ("image size", f"{metrics['image_size']} px" if metrics.get("image_size") else ""),
        ("temperature", f"{temperature:.3f}, fitted on {fitted_on}" if None not in (temperature, fitted_on) else ""),
        ("classes", ", ".join(metrics.get("classes") or [])),
    ]


def _of_config(config: DictConfig, metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    def of(path: str) -> Any:
        return OmegaConf.select(config, path)

    epochs, limit = of("trainer.max_epochs"), of("trainer.limit_train_batches")
    length = f"{epochs} epoch{'' if epochs == 1 else 's'}"
    if isinstance(limit, int):
        length += f" of {limit} batches"
    elif isinstance(limit, float) and limit < 1:
        length += f" on {limit:.0%} of the batches each"
    split = "its own split"
    if of("data.folds"):
        which = "all" if "folds" in metrics else f"fold {of('data.fold')} of"
        split = f"{which} {of('data.folds')}{' folds' if which == 'all' else ''}, by people"
    elif metrics.get("test/held_out"):
        split = "tested on the last tenth of each emotion, by name"
    return [
        ("data", f"{data_name(config)}, {split}, images of {of('data.image_size') or 'stored'} px"),
        ("network", f"{of('model.backbone') or of('model._target_')}, weights {of('model.weights')}"),
        ("optimizer", _described(of("optimizer"), leave_out=["fused"])),
        ("layer-wise learning rates", _described(of("rates"))),
        ("learning-rate schedule", _described(of("scheduler"))),
        ("freezing", _freezing(of("freeze.trainable")) or _described(of("freeze"))),
        ("loss", _described(of("loss"))),
        ("augmentation", _augmentation(of("augment"))),
        ("mixup and CutMix", _described(of("mix")) if of("mix.mixup") or of("mix.cutmix") else "none"),
        ("averaged weights (EMA)", f"decay {of('module.ema_decay')}" if of("module.ema_decay") else "none"),
        ("training", f"{length}, {of('data.batch_size')} images in a batch, seed {of('seed')}"),
    ]


def _described(node: Any, leave_out: Sequence[str] = ()) -> str:
    """`AdamW, lr 0.003, weight_decay 0.05`: a class of the config and its arguments; empty where there is none."""
    if not isinstance(node, DictConfig):
        return ""
    arguments = OmegaConf.to_container(node)
    assert isinstance(arguments, dict)
    shown = [
        f", {name} {value}"
        for name, value in zip(map(str, arguments), arguments.values(), strict=True)
        if value not in (None, 0, "none") and not name.startswith("_") and name not in leave_out
    ]
    return str(node.get("_target_")).rsplit(".", 1)[-1] + "".join(shown)


def _augmentation(node: Any) -> str:
    """What changes training images; `none` where nothing does."""
    erases = isinstance(node, DictConfig) and bool(node.get("erase"))
    described = _described(node, leave_out=[] if erases else ["erase_area"])
    return "none" if described == "Augment, scale [1, 1]" else described


def _freezing(starts: Any) -> str:
    """What is trained from which epoch on; empty where the config does not give pairs of epoch and stages."""
    if not isinstance(starts, ListConfig):
        return ""
    if list(starts) == [[0, "all"]]:
        return "none"
    trained = ("all stages" if stages == "all" else f"the last {stages} stage(s)" for _, stages in starts)
    return "; ".join(f"from {start} on {what} are trained" for (start, _), what in zip(starts, trained, strict=True))


def selected_by(config: DictConfig | None) -> str:
    """What the best checkpoint was selected by."""
    node = OmegaConf.select(config, "callbacks.best") if config is not None else None
    if not isinstance(node, DictConfig):
        return "on validation images"
    metrics = [str(node.get(key)).replace("val/", "validation ") for key in ("monitor", "tie") if node.get(key)]
    return f"by {', then '.join(metrics)}"


def _of_metrics(metrics: Mapping[str, Any], config: DictConfig | None) -> list[tuple[str, str]]:
    counts = {name: metrics.get(f"{split}/images") for split, name in NAMES.items()}
    rows = [("images", ", ".join(f"{count:,} {name}" for name, count in counts.items() if count))]
    if metrics.get("best_epoch") is not None:
        rows.append(("selected epoch", f"{metrics['best_epoch']} (the first is 0), {selected_by(config)}"))
    if metrics.get("parameters"):
        macs = metrics.get("macs")
        cost = "" if not macs else f"{macs / 1e9:.2f} billion" if macs > 1e8 else f"{macs / 1e6:.1f} million"
        cost = f", {cost} multiply-accumulates per image" if cost else ""
        rows.append(("size", f"{metrics['parameters'] / 1e6:.1f} million parameters{cost}"))
    if metrics.get("train_seconds"):
        speed, memory = metrics.get("train_images_per_second"), metrics.get("peak_memory_bytes")
        took = f"{timedelta(seconds=round(metrics['train_seconds']))} of training"
        took += f", {speed:,.0f} images per second" if speed else ""
        took += f", at most {memory / 2**30:.1f} GiB of memory" if memory else ""
        rows.append(("cost", took))
    if metrics.get("device"):
        rows.append(("machine", f"{metrics['device']}, precision {metrics.get('precision', 'unknown')}"))
    if metrics.get("versions"):
        commit = f"commit {str(metrics.get('commit'))[:12]}{' with changes' if metrics.get('dirty') else ''}, "
        rows.append(("code", f"{commit if metrics.get('commit') else ''}{metrics['versions']}"))
    if metrics.get("pack_sha256"):
        rows.append(("data digest", f"pack {metrics['pack_sha256'][:12]}"))
    return rows


def baseline_remark(metrics: Mapping[str, Any], split: str) -> str:
    """A sentence where a model is not shown to beat always answering the most frequent class; empty otherwise."""
    accuracy, majority, chance = (metrics.get(f"{split}/accuracy{end}") for end in ("", "_majority", "_chance"))
    bounds = metrics.get(f"{split}/accuracy_ci95")
    if accuracy is None or majority is None:
        return ""  # of an earlier version
    if accuracy > majority and not (bounds and bounds[0] <= majority):
        return ""
    what = "not better than" if accuracy <= majority else "not shown to be better than"
    return (
        f"This is {what} always answering the most frequent class ({majority:.1%}); guessing gives {chance:.1%}. "
        "Look at the balanced accuracy, and at whether training went well."
    )


def _limits_of_people(metrics: Mapping[str, Any], split: str) -> list[str]:
    """What the interval of the accuracy leaves out, by who was tested and in how many folds."""
    people, sentences = metrics.get(f"{split}/subjects"), []
    if people == 1:
        sentences.append(
            f"All {split} images are of one person: how the accuracy varies between people cannot be estimated, so it "
            "has no interval."
        )
    if metrics.get("folds"):
        sentences.append(
            "Models of different folds were trained on mostly the same images, so that their errors are not "
            "independent. The interval is for new people; what other training images would give is not in it, and "
            "cannot be estimated without bias (Bengio & Grandvalet 2004)."
        )
    return sentences


def limits(data: str, classes: int, metrics: Mapping[str, Any], split: str = "test", fold: str = "") -> list[str]:
    """What the numbers do not say: sentences on the data, and on any such model.

    Args:
        data: its name, see `fer.data.datasets.dataset`.
        classes: number of them.
        metrics: by the names of `metrics.json`.
        split: whose results are reported.
        fold: the only one that was tested, in words; empty without folds, or where all are pooled.
    """
    sentences = [EXPRESSIONS_ARE_NOT_FEELINGS, *dataset(data).caveats]
    sentences += [limit.format(classes=classes) for limit in LIMITS_OF_ANY_MODEL]
    sentences += [] if metrics.get(f"{split}/groups") else [NO_GROUPS]
    bounds = metrics.get(f"{split}/accuracy_ci95")
    if bounds:
        sentences.append(
            "One run, one seed: another seed gives another number. Do not compare intervals of two models: they may "
            "overlap where the difference is clear. Compare them on the same images, several seeds of each "
            "(scripts/compare.py)."
        )
    sentences += _limits_of_people(metrics, split)
    times = metrics.get(f"{split}/readings", 1)
    if times > 1:
        sentences.append(
            f"The {split} split of this copy of the data was scored {times} times so far, for "
            f"{metrics[f'{split}/configurations_read']} configurations (test_readings.csv beside the data): whatever "
            "was chosen by looking at these scores is too good."
        )
    if metrics.get(f"{split}/held_out"):
        sentences.append(
            "This data has neither a test split nor names of people: the last images of each emotion, by name, were "
            "held out. The same people may be in training and test, and the accuracy is then too high for new people."
        )
    if fold:
        sentences.append(f"This is {fold} alone: a few people. Only all folds pooled mean anything (folds=all).")
    duplicates = metrics.get(f"{split}/near_twins")
    if duplicates:
        sentences.append(
            f"At least {duplicates:,} of the images have a duplicate among the images of training or selection; the "
            "accuracy without them is given above."
        )
    prefix = f"{split}/support_"
    absent = [name.removeprefix(prefix) for name, count in metrics.items() if name.startswith(prefix) and count == 0]
    if absent:
        sentences.append(f"No image shows {' or '.join(absent)}: nothing is known of how the model does there.")
    return sentences
