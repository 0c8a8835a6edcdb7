"""The table of keys: for each, what it may be. The commands check it before anything heavy; `--help` shows it.

Whoever adds a key to `conf/` adds its row; `tests/config` fails where one is missing.
"""

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from fer.config.rules import (
    FLAG,
    PATH,
    PATHS,
    PORTION,
    SPAN,
    TEXT,
    Rule,
    choice,
    number,
    pair,
    pattern,
    regular_expression,
    several,
    starts,
    whole,
)
from fer.emotions import EMOTIONS

MAX_SEED = 2**32 - 1  # of NumPy's generators
SHARE = number(0, 1)
SHARE_BELOW_1 = number(0, 1, below=True)
NOT_NEGATIVE = number(0)
POSITIVE = number(0, over=True)
COUNT = whole(1)
PORT = whole(0, 65535)
MODE = choice("min", "max")
DEVICE = pattern(r"auto|cpu|cuda(:\d+)?|mps", "one of auto, cpu, cuda, cuda:1, mps")
PRECISION = choice("auto", "32-true", "bf16-mixed", "16-mixed", "32", "bf16", "16")
EMOTION_LIST = several(choice(*EMOTIONS), 2, f"two or more of {', '.join(EMOTIONS)}, as [happy,sad]")
# What training measures of each epoch, so what a callback can watch
METRICS = (
    *(f"{split}/{name}" for split in ("val", "train") for name in ("accuracy", "loss", "macro_f1")),
    *(f"val_recall/{emotion}" for emotion in EMOTIONS),
)
METRIC = replace(
    choice(*METRICS),
    words="one of val/accuracy, val/loss, val/macro_f1, val_recall/EMOTION, train/accuracy, train/loss, train/macro_f1",
)
# Precisions of each format that export.py writes
EXPORTS = {
    "onnx": ("fp32", "fp16", "int8"),
    "exported_program": ("fp32", "fp16"),
    "safetensors": ("fp32", "fp16"),
    "hub": ("fp32",),
    "bundle": ("fp32", "fp16", "int8"),
}

PEERS = ("torchvision", "torchvision_fp32", "fastai")  # that benchmark.py trains for a comparison
# What benchmark.py times answers of: PyTorch in fp32, in bf16, compiled; and files of export.py
ANSWERING = ("eager", "bf16", "compiled", "exported_program", "onnx", "onnx_int8")

KEYS: dict[str, Rule] = {
    "seed": whole(0, MAX_SEED),
    "folds": choice("all").or_null(),
    "jobs": COUNT.or_null(),
    "resume": PATH.or_null(),
    "figures": FLAG,
    "lr_find": FLAG.or_words("only"),
    "seeds": whole(0),
    "data.name": TEXT,
    "data.pack": TEXT.or_null(),
    "data.source": PATH.or_null(),
    "data.root": PATH,
    "data.classes": EMOTION_LIST.or_null(),
    "data.default_classes": EMOTION_LIST,
    "data.folds": whole(2).or_null(),
    "data.fold": whole(0),
    "data.subject": regular_expression().or_null(),
    "data.image_size": COUNT,
    "data.batch_size": COUNT,
    "data.eval_batch_size": COUNT.or_null(),
    "data.store_size": COUNT,
    "data.votes": FLAG,
    "data.faces": choice("auto", "detector", "none", "whole"),
    "data.align": FLAG,
    "data.residency": choice("auto", "device", "mapped"),
    "data.drop_leaks": FLAG,
    "data.train_image_size": starts(COUNT, "pairs of start and pixels, such as [[0,64],[0.5,96]]").or_null(),
    "data.soft_labels": FLAG,
    "data.balanced": FLAG,
    "data.seed": whole(0, MAX_SEED),
    "model.backbone": TEXT,
    "model.weights": PATH.or_null(),
    "model.stem": choice("auto", "default", "small", "small_pooled"),
    "model.drop_rate": SHARE_BELOW_1,
    "model.drop_path_rate": SHARE_BELOW_1,
    "module.ema_decay": number(0, 1, over=True, below=True).or_null(),
    "module.channels_last": FLAG,
    "module.compile": FLAG,
    "module.seed": whole(0, MAX_SEED),
    "optimizer.lr": POSITIVE,
    "optimizer.weight_decay": NOT_NEGATIVE,
    "optimizer.momentum": SHARE_BELOW_1,
    "optimizer.nesterov": FLAG,
    "optimizer.fused": FLAG.or_null(),
    "optimizer.betas": pair(SHARE_BELOW_1, "two numbers from 0 to below 1, as [0.9,0.999]"),
    "optimizer.eps": POSITIVE,
    "rates.decay": number(0, 1, over=True),
    "rates.lowest": POSITIVE,
    "scheduler.warmup": SHARE,
    "scheduler.start": NOT_NEGATIVE,
    "scheduler.end": NOT_NEGATIVE,
    "freeze.epochs": SPAN,
    "freeze.every": SPAN,
    "freeze.trainable": starts(COUNT.or_words("all"), "pairs of start and stages, such as [[0,1],[0.5,all]]"),
    "loss.label_smoothing": SHARE_BELOW_1,
    "loss.gamma": NOT_NEGATIVE,
    "loss.class_weights": choice("none", "inverse", "effective"),
    "augment.flip": SHARE,
    "augment.rotation": NOT_NEGATIVE,
    "augment.scale": pair(POSITIVE, "two numbers over 0, the smaller first, as [0.9,1.1]", ascending=True),
    "augment.shift": NOT_NEGATIVE,
    "augment.brightness": NOT_NEGATIVE,
    "augment.contrast": NOT_NEGATIVE,
    "augment.erase": SHARE,
    "augment.erase_area": pair(number(0, 1, over=True), "two shares over 0, as [0.02,0.15]", ascending=True),
    "mix.mixup": NOT_NEGATIVE,
    "mix.cutmix": NOT_NEGATIVE,
    "mix.probability": SHARE,
    "trainer.accelerator": choice("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "trainer.threads": COUNT.or_null(),
    "trainer.devices": Rule(
        "a whole number of 1 or more, auto, or a list such as [0,1]",
        lambda v: (
            v in ("auto", -1, "-1") or COUNT.accepts(v) or (isinstance(v, list) and all(map(whole(0).accepts, v)))
        ),
    ),
    "trainer.num_nodes": COUNT,
    "trainer.strategy": TEXT,
    "trainer.precision": PRECISION,
    "trainer.matmul_precision": choice("highest", "high", "medium"),
    "trainer.max_epochs": COUNT,
    "trainer.max_steps": whole(-1),
    "trainer.accumulate_grad_batches": COUNT,
    "trainer.gradient_clip_val": NOT_NEGATIVE.or_null(),
    "trainer.benchmark": FLAG.or_null(),
    "trainer.deterministic": FLAG.or_words("warn"),
    "trainer.limit_train_batches": PORTION.or_null(),
    "trainer.limit_val_batches": PORTION.or_null(),
    "trainer.log_every_n_steps": whole(0),
    "trainer.num_sanity_val_steps": whole(-1),
    "trainer.enable_model_summary": FLAG,
    "trainer.detect_anomaly": FLAG,
    "callbacks.*.monitor": METRIC,
    "callbacks.*.mode": MODE,
    "callbacks.*.tie": METRIC.or_null(),
    "callbacks.*.every_minutes": NOT_NEGATIVE.or_null(),
    "callbacks.*.refresh_rate": whole(0),
    "callbacks.*.count": COUNT,
    "callbacks.*.every_n_epochs": COUNT,
    "callbacks.*.patience": COUNT,
    "logger.*.name": TEXT,
    "logger.*.experiment_name": TEXT,
    "logger.*.tracking_uri": TEXT,
    "logger.*.project": TEXT,
    "logger.*.offline": FLAG,
}

CHECKPOINT = PATH.or_null()
SHIPPED = ("fer2013",)  # words that name models which come with this package
OF_COMMAND: dict[str, dict[str, Rule]] = {
    "evaluate": {
        "checkpoint": PATHS.or_null(),
        "predictions": PATH.or_null(),
        "split": choice("train", "val", "test", "all"),
        "tta": choice("none", "flip", "tencrop"),
        "device": DEVICE,
        "precision": PRECISION,
        "data.name": TEXT.or_null(),
    },
    "predict": {
        "checkpoint": CHECKPOINT,
        "input": PATHS.or_null(),
        "output": PATH,
        "faces": choice("auto", "detector", "all", "none", "whole"),
        "smallest_face": COUNT.or_null(),
        "annotate": FLAG,
        "contact_sheet": FLAG,
        "page": FLAG,
        "batch_size": COUNT,
        "device": DEVICE,
        "precision": PRECISION,
        "video.frames_per_second": POSITIVE.or_null(),
        "video.smoothing": NOT_NEGATIVE,
        "video.seconds": POSITIVE.or_null(),
    },
    "compare": {
        "runs": PATHS.or_null(),
        "output": PATH.or_null(),
        "measure": FLAG,
        "architectures": FLAG.or_null(),
    },
    "dashboard": {"runs": PATHS, "host": TEXT, "port": PORT},
    "export": {
        "checkpoint": CHECKPOINT,
        "format": choice(*EXPORTS),
        "precision": choice("fp32", "fp16", "int8"),
        "output": PATH.or_null(),
        "images": COUNT,
        "data.root": PATH.or_null(),
    },
    "demo": {
        "checkpoint": CHECKPOINT,
        "host": TEXT,
        "port": PORT,
        "upload_megabytes": POSITIVE,
        "video_megabytes": POSITIVE,
        "device": DEVICE,
        "export": PATH.or_null(),
        "precision": choice(*EXPORTS["bundle"]),
        "onnxruntime_web": PATH.or_null(),
    },
    "record": {
        "minutes": POSITIVE,
        "output": PATH,
        "seeds": COUNT,
        "image_size": COUNT,
        "study": FLAG,
        "overrides": Rule("a list of key=value", lambda value: isinstance(value, list)),
    },
    "benchmark": {
        "rounds": COUNT,
        "steps": COUNT,
        "warmup_steps": whole(0),
        "images": COUNT,
        "targets": several(number(0, 1, over=True), 1, "accuracies on validation, as [0.55,0.6]").or_null(),
        "peers": several(choice(*PEERS), 0, f"a list of {', '.join(PEERS)}").or_null(),
        "peer_lr.torchvision": POSITIVE,
        "peer_lr.fastai": POSITIVE.or_null(),
        "checkpoint": CHECKPOINT,
        "answering.sizes": several(COUNT, 1, "pixels, as [48,112,224]").or_null(),
        "answering.batches": several(COUNT, 1, "numbers of faces, as [1,64]"),
        "answering.threads": several(COUNT, 1, "numbers of threads, as [1,2]"),
        "answering.contenders": several(choice(*ANSWERING), 1, f"a list of {', '.join(ANSWERING)}").or_null(),
        "answering.starts": FLAG,
    },
}
HYDRA: dict[str, Rule] = {
    "hydra.run.dir": PATH,
    "hydra.sweep.dir": PATH,
    "hydra.sweeper.retries": whole(0),
    "hydra.sweeper.compare": FLAG,
    "hydra.sweeper.trials": COUNT,
    "hydra.sweeper.at_once": COUNT,
    "hydra.sweeper.seed": whole(0, MAX_SEED),
    "hydra.launcher.n_jobs": Rule("a whole number of 1 or more, or -1", lambda v: v == -1 or COUNT.accepts(v)),
}
# What a command cannot do without, and how it is asked for
REQUIRED = {
    "compare": {"runs": "say what to compare: runs=FOLDER (with run folders at any depth), or runs=[A,B]"},
}
# Words that other tools use -> keys of ours; the first that a command has counts
SYNONYMS: dict[str, tuple[str, ...]] = {
    "epochs": ("trainer.max_epochs",),
    "epoch": ("trainer.max_epochs",),
    "num_epochs": ("trainer.max_epochs",),
    "steps": ("trainer.max_steps",),
    "lr": ("optimizer.lr",),
    "learning_rate": ("optimizer.lr",),
    "wd": ("optimizer.weight_decay",),
    "bs": ("data.batch_size", "batch_size"),
    "batch": ("data.batch_size", "batch_size"),
    "img_size": ("data.image_size",),
    "size": ("data.image_size",),
    "resolution": ("data.image_size",),
    "dataset": ("data",),
    "data_dir": ("data.root", "data.source"),
    "data_path": ("data.source",),
    "arch": ("model",),
    "network": ("model",),
    "backbone": ("model.backbone", "model"),
    "pretrained": ("model.weights",),
    "weights": ("model.weights", "checkpoint"),
    "ckpt": ("checkpoint", "resume"),
    "model_path": ("checkpoint", "resume"),
    "model": ("checkpoint",),
    "run": ("checkpoint", "runs", "resume"),
    "augmentation": ("augment",),
    "opt": ("optimizer",),
    "gpus": ("trainer.devices", "device"),
    "gpu": ("trainer.devices", "device"),
    "device": ("device", "trainer.accelerator"),
    "cuda": ("device", "trainer.accelerator"),
    "fp16": ("trainer.precision", "precision"),
    "amp": ("trainer.precision", "precision"),
    "ema": ("module.ema_decay",),
    "patience": ("callbacks.early_stopping.patience", "callbacks"),
    "dropout": ("model.drop_rate",),
    "smoothing": ("loss.label_smoothing", "video.smoothing"),
    "out": ("output", "hydra.run.dir"),
    "output": ("output", "hydra.run.dir"),
    "output_dir": ("output", "hydra.run.dir"),
    "image": ("input",),
    "images": ("input", "images"),
    "source": ("data.source", "input"),
    "fps": ("video.frames_per_second",),
}


def rules_of(command: str) -> dict[str, Rule]:
    """Rules by key, or by pattern, of a command, the command's own first."""
    own = OF_COMMAND.get(command, {})
    return own | {key: rule for key, rule in (KEYS | HYDRA).items() if key not in own}


def rule_of(key: str, rules: Mapping[str, Rule]) -> Rule | None:
    """The rule of a key; None for a key that has none, such as an argument of a class of one's own."""
    found = rules.get(key)
    if found is None:
        found = next((rule for name, rule in rules.items() if "*" in name and fnmatchcase(key, name)), None)
    return found
