"""The checklist of a reviewer, answered from a run or evaluation as far as that knows; blank where it does not.

The questions are those that several checklists share (Pineau et al. 2021, Improving reproducibility in machine learning
research; Mitchell et al. 2019, Model cards; Kapoor et al. 2024, REFORMS). `docs/checklist.md` says where the answers
are from.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fer.data.datasets import dataset
from fer.device import threads_in_words
from fer.evaluation.metric_table import MISSING
from fer.reporting.facts import NAMES, selected_by

Answers = Iterator[tuple[str, str]]  # question, answer; empty where unknown
CAPTION = (
    "What a reviewer of a journal asks, answered from this run. Where a cell is empty, the run does not know the "
    "answer: it is yours to give."
)
CHANGED = {"True": ", with changes", "False": ", unchanged"}  # of the files of the commit


def checklist(
    metrics: Mapping[str, Any], config: DictConfig | None, data: str, split: str
) -> list[tuple[str, str, str]]:
    """Part, question and answer of each line.

    Args:
        metrics: by the names of `metrics.json`.
        config: of the run; None for an evaluation.
        data: name of the data that were evaluated.
        split: whose results are reported.
    """
    parts = {
        "data": _of_data(metrics, data),
        "leakage": _of_leakage(metrics, config, split),
        "selection": _of_selection(metrics, config, split),
        "results": _of_results(metrics, config, split),
        "machine": _of_machine(metrics, config),
        "use": iter([("Intended use, and who could be harmed", ""), ("Where code, weights and predictions are", "")]),
    }
    return [(part, question, answer) for part, answers in parts.items() for question, answer in answers]


def _of_data(metrics: Mapping[str, Any], data: str) -> Answers:
    facts, own = dataset(data), dataset(data).name == "folder"
    source, pack = metrics.get("data_source"), metrics.get("pack_sha256")
    version = [data, *([str(source)] if source else []), *([f"SHA-256 of the pack {pack[:12]}"] if pack else [])]
    yield "Data and version", ", ".join(version)
    yield "Owner of the data", "" if own else facts.owner
    yield "Licence of the data", "" if own else facts.licence
    counts = {name: metrics.get(f"{split}/images") for split, name in NAMES.items()}
    yield (
        "Number of images",
        ", ".join(f"{count:,} {name.removesuffix(' images')}" for name, count in counts.items() if count),
    )
    yield "Target population: whom the results are to hold for", ""
    yield "Consent of the people shown, approval by an ethics board", ""


def _of_leakage(metrics: Mapping[str, Any], config: DictConfig | None, split: str) -> Answers:
    people, trained_on = metrics.get(f"{split}/subjects"), metrics.get(f"{split}/images_trained_on")
    folded = bool(metrics.get("folds") or (config is not None and OmegaConf.select(config, "data.folds")))
    yield "People in both training and test", "none: folds are by people" if folded and people else ""
    yield "Test images that were trained or selected on", "" if trained_on is None else f"{trained_on:,}"
    for key, accuracy, what, least in (
        ("twins", "accuracy_deduplicated", "Exact duplicates", ""),
        ("near_twins", "accuracy_without_near_twins", "Images of the same photograph", "at least "),
    ):
        count, without = metrics.get(f"{split}/{key}"), metrics.get(f"{split}/{accuracy}")
        found = "" if count is None else f"{least if count else ''}{count:,}"
        found += f"; accuracy without them {without:.1%}" if count and without is not None else ""
        yield f"{what} in training and test", found
    if config is not None:
        yield "Statistics and calibration from training and validation images only", "yes"


def _of_selection(metrics: Mapping[str, Any], config: DictConfig | None, split: str) -> Answers:
    epoch = metrics.get("best_epoch")
    yield "What the tested weights were selected by", "" if epoch is None else f"epoch {epoch}, {selected_by(config)}"
    yield "Configurations tried, validation included", ""
    read, configurations = metrics.get(f"{split}/readings"), metrics.get(f"{split}/configurations_read")
    of_copy = " (of this copy of the data, this one included)"
    yield "How often the test split was scored", "" if read is None else f"{read:,}{of_copy}"
    yield "For how many configurations", "" if configurations is None else f"{configurations:,}{of_copy}"
    yield "Test-time augmentation", str(metrics.get("tta") or ("none" if config is not None else ""))


def _of_results(metrics: Mapping[str, Any], config: DictConfig | None, split: str) -> Answers:
    seed = OmegaConf.select(config, "seed") if config is not None else None
    yield "Seeds", "" if seed is None else f"1 (seed {seed}); compare.py takes several"
    bounds, people = metrics.get(f"{split}/accuracy_ci95"), metrics.get(f"{split}/subjects")
    units = f"{people:,} people" if people else f"{metrics.get(f'{split}/images', 0):,} images"
    yield (
        "Uncertainty of the accuracy",
        f"95 % interval {bounds[0]:.1%} to {bounds[1]:.1%} over {units}" if bounds else "",
    )
    majority, chance = (metrics.get(f"{split}/accuracy_{of}") for of in ("majority", "chance"))
    known = None not in (majority, chance)
    yield "Baselines", f"most frequent class {majority:.1%}, chance {chance:.1%}" if known else ""
    yield "Paired tests against other models", ""
    error, chance_error = metrics.get(f"{split}/ece_calibrated"), metrics.get(f"{split}/ece_if_calibrated")
    known = None not in (error, chance_error)
    yield "Calibration", f"ECE {error:.3f} after temperature scaling, {chance_error:.3f} if perfect" if known else ""
    groups = dict.fromkeys(row["attribute"] for row in metrics.get(f"{split}/groups") or [])
    yield "Results by groups of people", f"{', '.join(groups)}: see above" if groups else ""


def _of_machine(metrics: Mapping[str, Any], config: DictConfig | None) -> Answers:
    commit, changed = (
        metrics.get("commit"),
        CHANGED.get(str(metrics.get("dirty")), ""),
    )
    yield "Code", f"commit {commit[:12]}{changed}" if commit else ""
    yield "Versions", str(metrics.get("versions") or "")
    yield "Initial weights", str(OmegaConf.select(config, "model.weights") or "") if config is not None else ""
    threads = (
        f", {threads_in_words(metrics['threads'])}"
        if metrics.get("threads") and "thread" not in str(metrics.get("device"))
        else ""
    )
    yield (
        "Hardware",
        f"{metrics['device']}, {metrics.get('precision', MISSING)}{threads}" if metrics.get("device") else "",
    )
    seconds, memory = metrics.get("train_seconds"), metrics.get("peak_memory_bytes")
    yield "Time of training", str(timedelta(seconds=round(seconds))) if seconds else ""
    yield "Memory of training", f"{memory / 2**30:.1f} GiB at most" if memory else ""
    yield "Energy of training", ""
