"""The command that predicts one's own pictures and videos: tables, annotated copies, contact sheets."""

import csv
import json
import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from PIL import Image

from fer.data.datasets import dataset
from fer.errors import ConfigError, DataError, FERError, PictureError, RunError
from fer.faces.detector import SMALLEST
from fer.files import printable, remove_leftovers, replacing, write_json
from fer.inference.annotate import Gallery, numbered
from fer.inference.frames import shown_name
from fer.inference.inputs import INPUT_HELP, Options, list_inputs
from fer.inference.predictor import EmotionClassifier
from fer.inference.results import (
    ANNOTATED_FOLDER,
    FACE_COLUMNS,
    FACES_FILE,
    PAGE_FILE,
    SHEET_FILES,
    SKIPPED_FILE,
    TIMELINE_FILE,
    Summary,
    picture_rows,
    print_summary,
    progress_bar,
)
from fer.inference.results_page import ResultsPage, model_facts, picture_item, results_json
from fer.inference.stream import stream
from fer.models.shipped import DEFAULT
from fer.runs.folder import RunFolder

log = logging.getLogger(__name__)

Job = tuple[str, Callable[[], Summary]]  # the name of its input, and the work
MAX_NAMED = 10  # skipped files that are named on the console; skipped.csv has all
UNFINISHED = ".unfinished.json"  # of a folder of predictions: the command that writes there
UNWRITABLE = "{folder} cannot be written ({error}); free some space or give another output="


def predict(
    checkpoint: str | Path | None,
    source: str | Sequence[str] | None,
    folder: Path,
    options: Options | None = None,
    *,
    device: str = "auto",
    precision: str = "32-true",
    own_network: DictConfig | None = None,
) -> list[Summary]:
    """Predict the pictures and videos that `source` names, and fill `folder`.

    Args:
        checkpoint: see `EmotionClassifier.load`; None is the model that ships.
        source: see `list_inputs`.
        folder: of `predictions.csv` and the pictures, or of `timeline.csv` and the annotated video. If there are more
            inputs than one video, each video has a folder within it.
        options: how to predict.
        device: see `EmotionClassifier`.
        precision: see `EmotionClassifier`.
        own_network: config of the network, if it is not one of timm's.

    Returns:
        One for all pictures, then one for each video that could be read.

    Raises:
        FERError: nothing to predict, nothing could be read, an output folder that is taken, a bad option.
    """
    if not source:
        raise ConfigError(INPUT_HELP)
    options = options or Options()
    options.check()
    inputs = list_inputs(source)
    alone = len(inputs.videos) == 1 and not inputs.pictures
    names = [shown_name(path) for path in inputs.videos]
    homes = [folder if alone else folder / numbered(n, name) for n, name in enumerate(names, 1)]
    tables = [folder / FACES_FILE, *(home / TIMELINE_FILE for home in (folder, *homes))]
    asked = {
        "checkpoint": str(checkpoint),
        "inputs": [printable(path) for path in (*inputs.pictures, *names)],
        **asdict(options),
    }
    _refuse_taken(folder, tables, asked)
    classifier = EmotionClassifier.load(checkpoint or DEFAULT, device, precision, own_network)
    if not classifier.calibrated:
        log.info("%s has no calibration: probabilities are as trained, often too high", checkpoint)
    if warning := dataset(classifier.trained_on).warning:
        log.warning("%s", warning)
    pictures = partial(predict_pictures, classifier, inputs.pictures, folder, options)
    jobs: list[Job] = [("pictures", pictures)] if inputs.pictures else []
    if inputs.videos:
        from fer.inference.video import predict_video  # and matplotlib, which pictures do without
    for path, name, home in zip(inputs.videos, names, homes, strict=True):
        jobs.append((name, partial(predict_video, classifier, path, home, options)))
    with RunFolder(folder).only_writer("another prediction", "output", keep=False):
        _refuse_taken(folder, tables, asked)
        remove_leftovers(*{folder, folder / ANNOTATED_FOLDER, *homes})
        return _run_marked(jobs, folder / UNFINISHED, tables, asked)


def _run_marked(jobs: Sequence[Job], marker: Path, tables: Sequence[Path], asked: Mapping[str, Any]) -> list[Summary]:
    """Do the jobs; while they are done, and where they were stopped, a file says what was asked."""
    write_json(marker, asked)
    try:
        summaries = _run(jobs)
    except FERError:
        if not any(table.exists() for table in tables):
            marker.unlink(missing_ok=True)
        raise
    with suppress(OSError):
        marker.unlink()
    return summaries


def _refuse_taken(folder: Path, tables: Sequence[Path], asked: Mapping[str, Any]) -> None:
    """Raises RunError where a folder holds predictions, unless the same command was stopped there."""
    if any(table.exists() for table in tables):
        try:
            unfinished = json.loads((folder / UNFINISHED).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            unfinished = None
        if unfinished != json.loads(json.dumps(asked)):
            raise RunError(f"{folder} holds predictions already; give another output=")


def _run(jobs: Sequence[Job]) -> list[Summary]:
    """Do each job and print its summary. An input that cannot be read does not stop the others.

    Raises:
        PictureError: no input can be read.
    """
    summaries, errors = [], []
    for name, job in jobs:
        if len(jobs) > 1:
            log.info("%s:", printable(name))
        try:
            summaries.append(job())
        except PictureError as error:
            errors.append(error)
            if len(jobs) > 1:
                log.warning("skipped: %s", error)
        else:
            print_summary(summaries[-1])
    if errors and not summaries:
        raise errors[0]
    if errors:
        log.warning("%d of %d inputs could not be read", len(errors), len(jobs))
    return summaries


def predict_pictures(
    classifier: EmotionClassifier, paths: Sequence[str], folder: Path, options: Options | None = None
) -> Summary:
    """Write `predictions.csv`, a row for each face and one for each picture without; and the pictures.

    Raises:
        PictureError: no picture could be read.
        DataError: the folder cannot be written.
    """
    options = options or Options()
    smallest = options.smallest_face or SMALLEST
    summary, started = Summary(), time.perf_counter()
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # our own limit refuses such pictures
    try:
        with (
            replacing(folder / FACES_FILE) as file,
            Gallery(folder, options.annotate, options.contact_sheet) as gallery,
            results_json(folder, {**model_facts(classifier), "classes": classifier.classes}, "pictures") as items,
            progress_bar("pictures") as progress,
            closing(stream(classifier, paths, options.faces, smallest, options.batch_size, options.annotate)) as found,
        ):
            page = ResultsPage() if options.page else None
            table = csv.writer(file, lineterminator="\n")
            table.writerow([*FACE_COLUMNS, *classifier.classes])
            for number, result in enumerate(progress.track(found, len(paths), description="predicting"), 1):
                items.add(picture_item(result))
                if result.error:
                    _skip(summary, printable(result.path), result.error)
                    continue
                table.writerows(picture_rows(result.path, result.predictions, classifier.classes))
                gallery.add(number, result)
                if page is not None:
                    page.add(result)
                summary.add(result.predictions)
            _end(summary, folder, len(paths))
            if page is not None:
                page.write(folder, model_facts(classifier) | _facts(summary), dataset(classifier.trained_on).warning)
    except OSError as error:
        raise DataError(UNWRITABLE.format(folder=folder, error=error)) from error
    summary.seconds = time.perf_counter() - started
    summary.files.append(("per face", folder / FACES_FILE))
    summary.files += [("page", folder / PAGE_FILE)] if options.page else []
    summary.files += [("skipped", folder / SKIPPED_FILE)] if summary.skipped else []
    summary.files += [("annotated", folder / ANNOTATED_FOLDER)] if options.annotate else []
    summary.files += [("faces", folder / SHEET_FILES[0])] if options.contact_sheet and summary.faces else []
    return summary


def _facts(summary: Summary) -> dict[str, str]:
    """Counts for the page, by their names."""
    counts = {"pictures": summary.pictures, "faces": summary.faces, "without a face": summary.faceless}
    counts["unlike the training data"] = summary.unlike
    counts["that could not be read"] = len(summary.skipped)
    shown = {name: f"{count:,}" for name, count in counts.items() if count}
    return shown | {"emotions": ", ".join(f"{name} {count:,}" for name, count in summary.emotions.most_common())}


def _skip(summary: Summary, path: str, reason: str) -> None:
    summary.skipped.append((path, reason))
    if len(summary.skipped) <= MAX_NAMED:
        log.warning("skipped %r: %s", path, reason)


def _end(summary: Summary, folder: Path, total: int) -> None:
    """Write the list of skipped pictures; an error if these are all."""
    if summary.skipped:
        with replacing(folder / SKIPPED_FILE) as file:
            csv.writer(file, lineterminator="\n").writerows([("picture", "reason"), *summary.skipped])
    if not summary.pictures:
        path, reason = summary.skipped[0]
        raise PictureError(f"none of the {total:,} pictures can be read; the first, {path!r}: {reason}")
