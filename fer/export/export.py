"""The command that exports a trained model, checks it against the original, and says what it costs and gains."""

import copy
import hashlib
import json
import logging
import platform
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from torch import Tensor

from fer.data.datamodule import FERDataModule
from fer.data.datasets import dataset
from fer.errors import ConfigError, DataError, ExportError
from fer.evaluation.novelty import fit_features, fit_novelty
from fer.evaluation.trained_model import TrainedModel, load_trained
from fer.export.bundle import FACTS, write_bundle
from fer.export.card import model_card
from fer.export.check import check_difference, clock, compare, compare_scores
from fer.export.faces import FaceImages, drawn_faces, faces_of, open_data
from fer.export.formats import (
    FEATURES,
    FOLDERS,
    PROGRAMS,
    SUFFIXES,
    CalibratedNetwork,
    Run,
    as_exported_program,
    as_onnx,
    as_safetensors,
    check_choice,
    load_safetensors,
    run_exported_program,
    run_network,
    run_onnx,
    with_score,
)
from fer.export.hub import as_hub, run_hub, write_hub
from fer.faces.framing import Framing
from fer.files import replacing, write_json
from fer.models.novelty import Novelty
from fer.models.onnx_model import NOVELTY
from fer.models.shipped import DEFAULT, is_shipped
from fer.models.weight_files import check_no_program
from fer.runs.folder import BEST_CHECKPOINT, RunFolder

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds to wait for another export of the same name
CALIBRATION_IMAGES = 256  # training images from which int8 takes the ranges of activations
PREPROCESSING = (
    "a square face crop, framed as in training (key framing; around a detected face as FER2013 crops), {colours}, "
    "levels divided by 255, {resized} to {size}x{size} pixels (bilinear): float32 [batch, {channels}, {size}, {size}]; "
    "normalisation, temperature and softmax are inside"
)
METRICS_KEPT = ("test/accuracy", "test/accuracy_ci95", "test/images")  # of the run, for those who are shown the model
LIMITS = "Says how a face would be labelled by the annotators of its training data; an expression is not a feeling."


def export(
    checkpoint: str | None,
    form: str,
    precision: str = "fp32",
    output: str | None = None,
    images: int = 1000,
    root: str | None = None,
    own_network: DictConfig | None = None,
    shown: bool = True,
) -> dict[str, Any]:
    """Export a model; nothing is written unless it agrees with the original.

    Args:
        checkpoint: see `fer.evaluation.trained_model.load_trained`; None is the model that ships.
        form: onnx, exported_program, safetensors, hub or bundle.
        precision: fp32, fp16 or int8.
        output: the file, or the folder of hub and bundle; None puts it into `export/` of the run folder, or beside a
            checkpoint without one.
        images: most test images of the check.
        root: where the run's pack is now; None is where the run had it.
        own_network: config of the network, if it is not one of timm's.
        shown: whether to print what the check found.

    Returns:
        The content of `<output>.json`, of a bundle `bundle.json` in it.

    Raises:
        FERError: an unknown choice, a foreign checkpoint, no training images for int8, a model that cannot be
            exported or differs from the original.
    """
    if images < 1:
        raise ConfigError(f"images={images}: the check takes 1 or more")
    check_choice(form, precision)
    model = load_trained(checkpoint or DEFAULT, own_network)
    check_no_program(model.path)
    if model.temperature is None:
        log.warning("no temperature was fitted for this checkpoint: probabilities are as trained")
    path = Path(output) if output else _default_output(model, form, precision)
    if path.is_dir() and form not in FOLDERS:
        raise ConfigError(f"output={path} is a folder: name a file in it")
    faces, training = _faces(model, images, root, precision)
    model = with_novelty(model, root)
    facts = describe(model, precision, _side(model, form))
    with Console().status(f"exporting {form}, {precision}"):
        content = _exported(model, form, precision, facts, training)
    checked, runtime = _checked(model, form, precision, content, faces)
    results = {**_file_facts(path, form, precision, content), **{k: _plain(v) for k, v in facts.items()}, **checked}
    numbers = _write(path, form, content, results)
    if shown:
        _print(results, path, runtime, numbers)
    return results


def _checked(
    model: TrainedModel, form: str, precision: str, content: bytes, faces: FaceImages
) -> tuple[dict[str, Any], str]:
    """Compare and time an exported model: the numbers, and what it ran in."""
    size, channels = _side(model, form), len(model.classifier.mean)
    original = CalibratedNetwork(model.classifier, model.temperature or 1.0)
    ours, (runtime, theirs) = run_network(original), _runnable(form, content, original)
    found = compare(ours, theirs, faces, size, channels)
    if form in PROGRAMS and isinstance(model.novelty, Novelty):
        score = _score_of(model, model.novelty)
        found |= compare_scores(score, run_onnx(content, NOVELTY), faces, size, channels)
    check_difference(found, precision)
    with Console().status("timing"):
        timing = clock({"PyTorch": ours, runtime: theirs}, faces, size, channels)
    machine = {"threads": torch.get_num_threads(), "machine": platform.machine()}
    versions = {name: _version(name) for name in ("torch", "timm", "onnx", "onnxruntime")}
    return {**found, "timing": timing, **machine, "versions": versions}, runtime


def _file_facts(path: Path, form: str, precision: str, content: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"file": path.name, "format": form, "precision": precision, "bytes": len(content), "sha256": sha256}


def _side(model: TrainedModel, form: str) -> int:
    """Side of the faces that go in, pixels: a bundle takes them as they are cut, and resizes them itself."""
    return (form == "bundle" and model.classifier.stored_size) or model.classifier.image_size


def describe(model: TrainedModel, precision: str, size: int) -> dict[str, str]:
    """The metadata inside the file, whose faces are `size` pixels wide: text by key, lists as JSON."""
    classifier = model.classifier
    channels = len(classifier.mean)
    stored = classifier.stored_size
    colours = "RGB" if channels == 3 else "grey"
    resized = f"shrunk to {stored}x{stored} if larger, resized" if stored and stored != size else "resized"
    return {
        "classes": json.dumps(classifier.classes),
        "image_size": str(size),
        "stored_size": json.dumps(stored),
        "channels": str(channels),
        "mean": json.dumps(classifier.mean.flatten().tolist()),
        "std": json.dumps(classifier.std.flatten().tolist()),
        "temperature": repr(model.temperature or 1.0),
        "calibrated": json.dumps(model.temperature is not None),
        "set_threshold": json.dumps(model.set_threshold),  # of prediction sets, see `fer.evaluation.conformal`
        "precision": precision,
        "preprocessing": PREPROCESSING.format(colours=colours, resized=resized, size=size, channels=channels),
        "framing": json.dumps(Framing.from_dict(classifier.framing).to_dict()),
        "backbone": str(classifier.network_spec.get("backbone", classifier.network_spec.get("_target_"))),
        "trained_on": model.trained_on,
        "warning": dataset(model.trained_on).warning,
        "data": json.dumps(_portable(model.data)),
        "metrics": json.dumps({key: model.metrics[key] for key in METRICS_KEPT if key in model.metrics}),
        "checkpoint": _checkpoint_name(model),
        "limits": LIMITS,
        "fer_version": _version("fer-experiments") or "unknown",
    }


def _portable(data: dict[str, Any] | None) -> dict[str, Any] | None:
    """The data of training without places on this machine."""
    return None if data is None else {key: value for key, value in data.items() if key not in ("root", "source")}


def _faces(model: TrainedModel, most: int, root: str | None, precision: str) -> tuple[FaceImages, FERDataModule | None]:
    """Faces for the check, and for int8 the data of training."""
    try:
        datamodule = open_data(model, root)
    except DataError as error:
        if precision == "int8":
            raise DataError(f"int8 takes ranges from the run's training images, but {error}") from error
        log.warning("checked on drawn faces, without accuracy: %s", error)
        return drawn_faces(), None
    return faces_of(datamodule, "test", most), datamodule if precision == "int8" else None


def with_novelty(model: TrainedModel, root: str | None = None) -> TrainedModel:
    """The model with the statistics of its training data: its own, or, of a run of before, fitted and kept in it.

    Args:
        model: loaded.
        root: see `open_data`; without the pack the model stays without statistics.
    """
    if model.novelty is not None:
        return model
    try:
        novelty = fit_novelty(model.classifier, open_data(model, root))
    except DataError as error:
        log.warning("how unlike its training data a face is, the export will not say: %s", error)
        return model
    if novelty is not None and model.folder is not None and _checkpoint_name(model) == BEST_CHECKPOINT:
        RunFolder(model.folder).write_novelty(novelty.to_text())
    return replace(model, novelty=novelty)


def _exported(
    model: TrainedModel, form: str, precision: str, facts: dict[str, str], training: FERDataModule | None
) -> bytes:
    classifier, novelty = model.classifier, model.novelty if isinstance(model.novelty, Novelty) else None
    size, channels = _side(model, form), len(classifier.mean)
    watched = form in PROGRAMS and novelty is not None
    network = CalibratedNetwork(classifier, model.temperature or 1.0, half=precision == "fp16", watched=watched)
    network.to(memory_format=torch.contiguous_format)
    example = torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    if form in ("safetensors", "hub") and novelty is not None:
        facts = facts | {"novelty": novelty.to_text()}
    if form == "safetensors":
        return as_safetensors(network, classifier, facts)
    if form == "hub":
        return as_hub(classifier, model.temperature or 1.0, facts)
    if form == "exported_program":
        return as_exported_program(network, example, facts)
    content = as_onnx(network, example, facts)
    if training is not None:
        from fer.export.quantize import in_int8

        images = faces_of(training, "train", CALIBRATION_IMAGES)
        content = in_int8(content, images.batches(size, channels, batch_size=32))
        if novelty is not None:  # int8 sees training images a little otherwise, too
            run = run_onnx(content, FEATURES)
            novelty = fit_features(lambda some: _over(run, some, size, channels), training) or novelty
    return content if novelty is None else with_score(content, novelty)


def _over(run: Run, images: np.ndarray, size: int, channels: int) -> Tensor:
    """What a program gives for uint8 [N, H, W(, 3)]: [N, ...]."""
    parts = [run(batch) for batch in FaceImages(images, None, "images").batches(size, channels)]
    return torch.from_numpy(np.concatenate(parts))


def _score_of(model: TrainedModel, novelty: Novelty) -> Run:
    """The novelty of faces, float32 [B], by the original."""
    watched = run_network(CalibratedNetwork(model.classifier, 1.0, watched=True))
    return lambda images: novelty.score(torch.from_numpy(watched(images)[1])).numpy()


def _runnable(form: str, content: bytes, original: CalibratedNetwork) -> tuple[str, Run]:
    """What runs the bytes, in words, and as a function."""
    if form in PROGRAMS:
        return "onnxruntime", run_onnx(content)
    if form == "exported_program":
        return "exported program", run_exported_program(content)
    if form == "hub":
        return "timm, from the folder", run_hub(content)
    return "weights read back", run_network(load_safetensors(content, copy.deepcopy(original.network)))


def _default_output(model: TrainedModel, form: str, precision: str) -> Path:
    """Each checkpoint, precision and format has a name of its own."""
    other = f"_{model.path.stem}" if model.folder is not None and _checkpoint_name(model) != BEST_CHECKPOINT else ""
    stem = form if form in FOLDERS else "model"
    name = f"{stem}{other}" + ("" if precision == "fp32" else f"_{precision}") + SUFFIXES[form]
    if is_shipped(model.path):
        return Path("outputs/export") / name
    return model.path.parent / name if model.folder is None else model.folder / "export" / name


def _checkpoint_name(model: TrainedModel) -> str:
    return BEST_CHECKPOINT if model.path.is_dir() else model.path.name


def _write(path: Path, form: str, content: bytes, results: dict[str, Any]) -> Path:
    """Write the export and its model card; the path of the numbers."""
    card, numbers = model_card(results), path.with_name(f"{path.name}.json")
    try:
        with RunFolder(path.parent).only_writer("another export", "output", PATIENCE, keep=False, file=path.name):
            if form == "bundle":
                write_bundle(path, content, results, card)
                return path / FACTS
            if form == "hub":
                write_hub(path, content, card)
            else:
                for place, part in ((path, content), (path.with_name(f"{path.name}.md"), card.encode())):
                    with replacing(place, "wb") as file:
                        file.write(part)
            write_json(numbers, results)
    except OSError as error:
        raise ExportError(f"{path} cannot be written ({error.strerror or error}); give another output=") from error
    return numbers


def _plain(text: str) -> Any:
    """Lists and numbers out of the metadata's text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _print(results: dict[str, Any], path: Path, runtime: str, numbers: Path) -> None:
    title = f"{results['backbone']}, {len(results['classes'])} classes, {results['image_size']} px"
    table = Table("", title=title, box=None, pad_edge=False, title_justify="left")
    for heading in ("PyTorch, fp32", f"{runtime}, {results['precision']}"):
        table.add_column(heading, justify="right")
    if results["accuracy"] is not None:
        what = f"accuracy, {results['images']:,} {results['checked_on']}"
        table.add_row(what, f"{results['accuracy']:.2%}", f"{results['accuracy_exported']:.2%}")
    table.add_row("same emotion", "", f"{results['same_emotion']:.2%}")
    table.add_row("largest difference of a probability", "", f"{results['max_probability_difference']:.1e}")
    timing = list(results["timing"].values())
    table.add_row("one image, ms", *(f"{times['batch1_milliseconds']:.1f}" for times in timing))
    table.add_row("batches of 64, images/s", *(f"{times['batch64_images_per_second']:,.0f}" for times in timing))
    table.add_row("megabytes", "", f"{results['bytes'] / 1e6:.1f}")
    console = Console()
    console.print(table)
    console.print(f"{path} (numbers: {numbers.name})", highlight=False, soft_wrap=True)
