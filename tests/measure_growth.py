"""How cost grows with images, runs and jobs: `PYTHONPATH=.:tests/runs python tests/measure_growth.py [images …]`.

Everything is made up here and measured in processor seconds of this process, so that other work on the machine matters
little. Between two sizes the exponent is log(cost ratio) / log(size ratio): 1 is linear.
"""

import contextlib
import io
import math
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from made_up_runs import put
from omegaconf import DictConfig

from fer.cli.app import CONF, register_resolvers
from fer.comparison.compare import compare
from fer.comparison.dashboard import link_runs
from fer.data.audit import audit_pack
from fer.data.build_pack import build_pack, count
from fer.data.datamodule import FERDataModule
from fer.data.pack import open_pack
from fer.data.samples import Listing, RawSample
from fer.data.write_pack import PictureBuffer, write_pack
from fer.emotions import EMOTIONS
from fer.evaluation.evaluation import Evaluation
from fer.evaluation.metric_table import compute_metrics
from fer.evaluation.split_predictions import SplitPredictions
from fer.reporting.write import write_evaluation
from fer.runs.folder import RunFolder
from fer.sweeps.compose import Composer
from fer.sweeps.grid import make_job, parse

CLASSES = list(EMOTIONS[:7])
Costs = dict[str, dict[int, float]]  # what -> size -> processor seconds
costs: Costs = {}
MOST_DECODED = 20_000  # images that go through a zip archive of PNGs; more are put into a pack as they are


def timed(what: str, size: int, act: Callable) -> object:
    started = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        result = act()
    costs.setdefault(what, {})[size] = time.process_time() - started
    print(f"{what}, {size:,}: {costs[what][size]:.2f} s", file=sys.stderr, flush=True)
    return result


def made_archive(folder: Path, images: int) -> Path:
    """Smooth pictures of 48 pixels, all different, in folders of emotions."""
    random, path = np.random.default_rng(0), folder / "made.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(images):
            small = random.integers(0, 256, (6, 6), dtype=np.uint8)
            encoded = cv2.imencode(".png", cv2.resize(small, (48, 48), interpolation=cv2.INTER_CUBIC))[1]
            split = "train" if number % 10 < 8 else "val" if number % 10 == 8 else "test"
            archive.writestr(f"{split}/{CLASSES[number % 7]}/{number:08d}.png", encoded.tobytes())
    return path


def made_pack(folder: Path, images: int) -> None:
    """A pack of smooth pictures without a download: decoding is left out, and writing is what it costs."""
    random = np.random.default_rng(0)
    splits = ["train" if number % 10 < 8 else "val" if number % 10 == 8 else "test" for number in range(images)]
    names = [f"{split}/{CLASSES[number % 7]}/{number:08d}.png" for number, split in enumerate(splits)]
    samples = [RawSample(name, name.split("/")[1], name.split("/")[0], "") for name in names]
    with PictureBuffer() as pictures:
        for _ in range(images):
            small = random.integers(0, 256, (6, 6), dtype=np.uint8)
            pictures.append(cv2.resize(small, (48, 48), interpolation=cv2.INTER_CUBIC))
        manifest = {"format": 1, "source": {"path": "made"}, "layout": "made", "rejected": [], "counts": count(samples)}
        timed("write a pack", images, lambda: write_pack(
            folder / "made", Listing("made", samples, []), pictures, manifest, 48, None))  # fmt: skip


def measure_images(images: int, audit: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if images <= MOST_DECODED:
            archive = made_archive(folder, images)
            timed("pack", images, lambda: build_pack(folder, "made", str(archive)))
        else:
            made_pack(folder, images)
        pack = open_pack(folder / "made")
        if audit:
            timed("audit", images, lambda: audit_pack(pack))

        def opened() -> FERDataModule:
            data = FERDataModule("made", root=name, image_size=48, batch_size=64)
            data.prepare_data()
            data.setup()
            return data

        data = timed("open", images, opened)
        assert isinstance(data, FERDataModule)
        loader = data.train_loader(torch.device("cpu"))
        timed("epoch without a network", images, lambda: sum(len(batch.labels) for batch in loader))
        random = np.random.default_rng(1)
        predictions = SplitPredictions(
            classes=CLASSES,
            logits=random.normal(size=(images, 7)).astype(np.float32),
            labels=np.arange(images) % 7,
            names=np.array([f"test/{number:08d}.png" for number in range(images)]),
            subjects=None,
            images=lambda rows: np.zeros((len(rows), 48, 48), np.uint8),
        )
        found = timed("metrics", images, lambda: compute_metrics(predictions))
        metrics = {f"test/{key}": value for key, value in found.items()}
        evaluation, run = Evaluation(predictions, metrics), RunFolder(folder / "run")
        timed("report", images, lambda: write_evaluation(evaluation, run))


def measure_runs(runs: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(runs):
            networks = ("resnet18", "resnet34", "resnet50")
            settings = {"optimizer.lr": 10.0 ** -(1 + number // 15)}
            put(folder / "runs" / str(number), backbone=f"{networks[number % 3]}.a1_in1k", data="fer2013",
                seed=number // 3 % 5, images=500, settings=settings)  # fmt: skip
            (folder / "runs" / str(number) / "tensorboard").mkdir()
        (folder / "links").mkdir()
        timed("comparison", runs, lambda: compare([folder / "runs"], folder / "out", measure=False))
        timed("dashboard", runs, lambda: link_runs([folder / "runs"], folder / "links"))


def measure_jobs(jobs: int) -> None:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"), tempfile.TemporaryDirectory() as name:
        overrides = parse([f"seed=range(0,{jobs})"])

        def load(given: list[str]) -> DictConfig:
            return compose("train", given, return_hydra_config=True)

        def make() -> list:
            composer, seeds = Composer(load, GlobalHydra.instance().config_loader()), map(str, range(jobs))
            return [make_job({"seed": seed}, overrides, Path(name), {}, composer) for seed in seeds]

        timed("jobs of a sweep", jobs, make)


def table() -> str:
    lines = ["| what | size: processor seconds | exponent |", "| --- | --- | --- |"]
    for what, by_size in costs.items():
        low, high = min(by_size), max(by_size)
        ratio = by_size[high] / max(by_size[low], 1e-3)
        exponent = f"{math.log(ratio) / math.log(high / low):.2f}" if high > low else ""
        said = "; ".join(f"{size:,}: {seconds:.2f}" for size, seconds in sorted(by_size.items()))
        lines.append(f"| {what} | {said} | {exponent} |")
    return "\n".join([*lines, "", f"peak memory {peak_gib():.2f} GiB"])


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    sizes = [int(word) for word in sys.argv[1:]] or [10_000, 100_000]
    measure_images(500, audit=True)  # warm up
    costs.clear()
    for size in (10, 100, 1000):
        measure_runs(size)
    for size in (10, 100, 1000):
        measure_jobs(size)
    for size in sizes:
        measure_images(size, audit=size <= MOST_DECODED)
        print(f"{size:,} images: peak memory {peak_gib():.2f} GiB", file=sys.stderr, flush=True)
    print(table())
