"""The text of a comparison: its tables and sentences as data, which one template puts into Markdown and a page."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fer.comparison.networks import Architecture, layers_rows, models_rows
from fer.comparison.pairs import in_words, majority
from fer.comparison.result import Comparison, Entry, setting_differences, transfers
from fer.data.datasets import all_datasets, dataset
from fer.evaluation.metric_table import MISSING, Metric, shown_in
from fer.reporting.figure_table import FigureRow
from fer.reporting.groups import FEW, TOO_SMALL, gap_sentences, p_in_words
from fer.reporting.render import Link, render_html, render_markdown
from fer.runs.folder import RunFolder


@dataclass(frozen=True)
class Table:
    headings: Sequence[str]
    rows: Sequence[Sequence[str | Link]]
    words: int = 1  # columns from the left that hold words
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    path: Path
    row: FigureRow
    alt: str


def contents(
    comparison: Comparison, pictures: dict[str, list[Picture]], architectures: Sequence[Architecture], folder: Path
) -> dict[str, Any]:
    """What `comparison.j2` shows.

    Args:
        comparison: the results.
        pictures: by data set; under `""` the one that belongs to none.
        architectures: of the paper's tables; none leaves these out.
        folder: of the comparison, to which the paths in Markdown are relative.
    """
    runs = [run for entry in comparison.entries for run in entry.group.runs]
    references, related = references_table(comparison)
    return {
        "summary": f"{_count(len(runs), 'finished run')} on {_count(len(comparison.data), 'data set')}: "
        f"{'; '.join(comparison.data) or 'none'}.",
        "folder": folder,
        "results": results_table(comparison.entries) if comparison.entries else None,
        "settings": settings_table(comparison.entries),
        "runs": runs_table(comparison.entries, folder),
        "baselines": baselines(comparison),
        "differences": difference_sentences(comparison),
        "other_differences": other_differences_table(comparison),
        "single_seeds": any(difference.of_networks for difference in comparison.differences),
        "people": people_table(comparison),
        "gaps": people_sentences(comparison),
        "pictures": [(data, pictures.get(data, [])) for data in comparison.data],
        "costs": cost_table(comparison),
        "transfers": transfer_table(comparison),
        "transfer_pictures": pictures.get("", []),
        "references": references,
        "references_related": related,
        "networks": Table(*models_rows(architectures)) if architectures else None,
        "layers": Table(*layers_rows(architectures), 2 + len(architectures)) if architectures else None,
        "unfinished": [(f"{run.name}: {run.reason}", False) for run in comparison.unfinished],
        "remarks": [(f"{remark}.", False) for remark in comparison.remarks],
        "folded": any(run.folds for run in runs),
    }


def to_markdown(content: dict[str, Any]) -> str:
    """GitHub's Markdown, with figures by their paths."""
    return render_markdown("comparison.j2", form="form.md.j2", **content)


def to_html(content: dict[str, Any], title: str) -> str:
    """A page that needs no other file."""
    return render_html("comparison.html.j2", form="form.html.j2", title=title, **content)


def results_table(entries: Sequence[Entry]) -> Table:
    """Quality, a row per model and data set."""
    metrics = {metric.key: metric for metric in shown_in("comparison_page")}
    accuracy_of_test, images = metrics.pop("accuracy"), metrics.pop("images")
    others = list(metrics.values())
    headings = ["model", "data", "seeds", "test accuracy", "95 % interval"]
    headings += [*(metric.label for metric in others), "test images"]
    rows = []
    for entry in entries:
        group, accuracy = entry.group, entry.accuracy
        interval = f"{accuracy.low:.1%} to {accuracy.high:.1%}" if accuracy else MISSING
        rows.append(
            [
                group.model,
                group.data,
                str(len(group.runs)),
                _spread(entry, accuracy_of_test),
                interval,
                *(_spread(entry, metric) for metric in others),
                _number(group.mean(f"test/{images.key}"), 1, 0),
            ]
        )
    return Table(headings, rows, 2, "Means over seeds ± standard deviation between seeds.")


def settings_table(entries: Sequence[Entry]) -> Table | None:
    """Choices and keys of the config that differ between any two rows; None where none does."""
    rows = [[key, *(value or MISSING for value in values)] for key, values in setting_differences(entries)]
    several = len({entry.group.data for entry in entries}) > 1
    names = [f"{entry.group.model}, {entry.group.data}" if several else entry.group.model for entry in entries]
    caption = "All choices and keys of the config in which any two rows differ."
    return Table(["setting", *names], rows, 1 + len(names), caption) if rows else None


def runs_table(entries: Sequence[Entry], folder: Path) -> Table:
    """Every run, with its report."""
    rows: list[Sequence[str | Link]] = []
    metric = next(metric for metric in shown_in("comparison_page") if metric.key == "accuracy")
    for entry in entries:
        for run in entry.group.runs:
            page = RunFolder(run.folder).report_file
            link = Link("report", quote(os.path.relpath(page, folder.resolve()))) if page.exists() else MISSING
            accuracy = metric.text(run.metrics.get("test/accuracy"))
            seed, epoch = (MISSING if n is None else str(n) for n in (run.seed, run.metrics.get("best_epoch")))
            rows.append([run.name, link, entry.group.model, entry.group.data, seed, accuracy, epoch])
    headings = ["run", "", "model", "data", "seed", "test accuracy", "selected epoch"]
    return Table(headings, rows, 4, "Reports are beside the runs: they open where this page is kept with them.")


def baselines(comparison: Comparison) -> str:
    """What no learning gives, by data set; empty where no predictions are known."""
    of = []
    for data in comparison.data:
        found = [(share, entry.group) for entry in comparison.of(data) if (share := majority(entry.group)) is not None]
        if found:
            share, group = found[0]
            of.append(f"{data}: {share:.1%} by always answering the most frequent class, {1 / len(group.classes):.1%} "
                      "by chance")  # fmt: skip
    return f"Without learning the accuracy is: {'; '.join(of)}." if of else ""


def cost_table(comparison: Comparison) -> Table:
    """What training and answering cost."""
    timed = comparison.timed_on is not None
    headings = ["model", "data", "px", "parameters, million", "GMACs", "checkpoint, MB"]
    headings += ["ms, one image", "images/s, batch 64"] if timed else []
    headings += ["training", "training images/s", "memory, GB", "trained on"]
    rows = []
    for entry in comparison.entries:
        group, cost = entry.group, entry.cost
        seconds = group.mean("train_seconds")
        devices = {str(run.metrics["device"]) for run in group.runs if run.metrics.get("device")}
        row = [group.model, group.data, str(group.settings.get("data.image_size", MISSING)),
               _number(entry.parameters, 1e-6, 1), _number(entry.macs, 1e-9, 3),
               _number(group.mean("checkpoint_bytes"), 1e-6, 1)]  # fmt: skip
        if timed:
            row += [_number(cost.latency_ms, 1, 1), _number(cost.images_per_second, 1, 0)] if cost else [MISSING] * 2
        row += [
            MISSING if seconds is None else str(timedelta(seconds=round(seconds))),
            _number(group.mean("train_images_per_second"), 1, 0),
            _number(group.mean("peak_memory_bytes"), 1e-9, 2),
            "; ".join(sorted(devices)) or MISSING,
        ]
        rows.append(row)
    caption = "GMACs: billion multiply-accumulates of one image. Training: the mean of one seed, all folds together."
    if timed:
        caption += f" Answering timed here, in eval mode: {comparison.timed_on}; medians after a warm-up."
    return Table(headings, rows, 2, caption)


def difference_sentences(comparison: Comparison) -> list[tuple[str, list[tuple[str, bool]]]]:
    """For each data set a heading, and sentences with whether the difference is shown."""
    found = []
    for data in dict.fromkeys(d.first.data for d in comparison.differences):
        of_data = [d for d in comparison.differences if d.first.data == data]
        units = {f"{d.images:,} test images" + (f" of {d.subjects} people" if d.subjects else "") for d in of_data}
        sentences = [(f"{in_words(d)}, {p_in_words(d.p_holm)}.", d.shown) for d in of_data]
        found.append((f"{data}, on the same {' or '.join(sorted(units))}", sentences))
    return found


def other_differences_table(comparison: Comparison) -> Table | None:
    """Paired differences of the metrics beside the accuracy; None where there are none."""
    metrics = shown_in("differences")
    rows = []
    for d in comparison.differences:
        if not d.others:
            continue
        cells = []
        for found, metric in ((d.others.get(metric.key), metric) for metric in metrics):
            interval = found and metric.text(found.value, [found.low, found.high])
            cells += [interval, p_in_words(found.p)] if found and interval else [MISSING, MISSING]
        rows.append([d.first.model, d.second.model, d.first.data, *cells])
    headings = ["more accurate", "less accurate", "data", *(cell for m in metrics for cell in (m.label, "corrected"))]
    caption = (
        "Differences of other metrics on the same images, with 95 % intervals; p-values are corrected for all pairs, "
        "of each metric by itself."
    )
    return Table(headings, rows, 3, caption) if rows else None


def people_table(comparison: Comparison) -> Table | None:
    """Accuracy by groups of people; None where no row knows any."""
    metric = next(metric for metric in shown_in("comparison_page") if metric.key == "accuracy")
    rows = []
    for of in comparison.people:
        for result in of.results:
            row = result.row()
            accuracy = metric.text(row["accuracy"], row["accuracy_ci95"]) if "accuracy" in row else TOO_SMALL
            people = MISSING if result.people is None else f"{result.people:,}"
            rows.append([of.group.model, of.group.data, result.attribute, result.group, f"{result.images:,}", people,
                         accuracy])  # fmt: skip
    headings = ["model", "data", "attribute", "group", "images", "people", metric.label]
    return Table(headings, rows, 4, f"Means over seeds. {FEW}") if rows else None


def people_sentences(comparison: Comparison) -> list[tuple[str, bool]]:
    """The gaps of each row."""
    return [
        (f"{of.group.model} on {of.group.data}: {sentence}", shown)
        for of in comparison.people
        for sentence, shown in gap_sentences([r.row() for r in of.results], [gap.row() for gap in of.gaps])
    ]


def transfer_table(comparison: Comparison) -> Table | None:
    """Accuracy on other data; None where nothing was evaluated."""
    found = transfers(comparison.entries)
    if found is None:
        return None
    matrix, trained, tested = found
    cells = [[name, *(_number(value, 100, 1) if value == value else MISSING for value in row)]
             for name, row in zip(trained, matrix.tolist(), strict=True)]  # fmt: skip
    return Table(["trained on", *(f"tested on {name}" for name in tested)], cells, 1, "Test accuracy, %.")


def references_table(comparison: Comparison) -> tuple[Table, bool]:
    """Published accuracies on the data sets of the comparison, or on all; and whether any is of its data sets."""
    published = [facts for facts in all_datasets() if facts.references]
    names = {dataset(entry.group.data_name).name for entry in comparison.entries}
    related = [facts for facts in published if facts.name in names]
    rows = [[r.accuracy, facts.title, r.what, r.protocol] for facts in related or published for r in facts.references]
    return Table(["accuracy", "data", "what", "protocol"], rows, 4), bool(related)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _spread(entry: Entry, metric: Metric) -> str:
    """Mean over seeds, and standard deviation where there are several."""
    mean, spread = (of(f"test/{metric.key}") for of in (entry.group.mean, entry.group.spread))
    return metric.text(mean) if spread is None else f"{metric.text(mean)} ± {metric.text(spread)}"


def _number(value: float | None, factor: float, digits: int) -> str:
    return MISSING if value is None else f"{factor * value:,.{digits}f}"
