"""The text of a comparison: tables, sentences, figures, what is missing, how it was computed."""

from collections.abc import Sequence
from datetime import timedelta

from fer.comparison.architecture import Architecture, table_of_layers, table_of_models
from fer.comparison.document import Block, Heading, Items, Picture, Pictures, Table, Text
from fer.comparison.pairs import in_words
from fer.comparison.result import Comparison, Entry, transfers
from fer.data.datasets import all_datasets, dataset
from fer.evaluation.metric_table import MISSING, Metric, shown_in

REFERENCES_NOTE = (
    "Accuracies as their authors report them; clean: selected on PublicTest, tested on PrivateTest once. A number on "
    "another split, by another selection or with test-time views is not comparable with ours; the paper's figure for "
    "CK+ counts 3,589 images, which CK+ does not have, and is left out. With 3,589 test images and 73 % right, the "
    "interval of a single run is ±1.45 points."
)

ONE_SEED = (
    "One seed compares two trained networks, not two architectures: it cannot see what other seeds would have given. "
    "In simulation, equal architectures whose seeds differ by 0.6 points (standard deviation) were called different in "
    "10 of 100 comparisons of one seed each, by 2 points in 39 of 100; with three seeds each in 4 and 7 of 100."
)
METHOD = (
    "Intervals are 95 % and hold for new test images and new seeds: images (or people, where they are known) are "
    "resampled with the answers of all seeds, and the variance between seeds beyond the noise of single images is "
    "added with Student's t (Owen 2007, The pigeonhole bootstrap; Davison & Hinkley 1997, section 3.8; Hesterberg "
    "2015). A row with one seed has the interval of that one network; with two, the variance is that of all rows of "
    "the data set. Differences are paired on the same test images, which shows more than two intervals side by side: "
    "those may overlap where the difference is clear. p-values are corrected for all comparisons of this page together "
    "(Holm 1979): a difference counts as shown under 0.05. No difference shown does not mean equal: the interval says "
    "how large it may be."
)
FOLDS = (
    "Networks of different folds were trained on mostly the same images: of that their pooled interval knows nothing, "
    "and no estimate without bias exists (Bengio & Grandvalet 2004, JMLR 5), so take it as a lower bound."
)
TABLE_1 = (
    "Table 1 of Hernández et al. (2023), counted on the networks as published (3 channels, 1,000 classes). The paper "
    "prints 233, 470 and 527 GFLOPs; one pass of one image costs 1.8, 3.7 and 4.1 billion multiply-accumulates. The "
    "last two columns: with one channel and seven classes, at 224 px too."
)
TABLE_2 = (
    "Table 2 of the paper: layers of each stage (blocks in brackets: size of the filters, channels) and the side of "
    "what comes out, at 224 px."
)


def blocks(
    comparison: Comparison, pictures: dict[str, list[Picture]], architectures: Sequence[Architecture]
) -> list[Block]:
    """The whole text in order."""
    runs = sum(len(entry.group.runs) for entry in comparison.entries)
    found: list[Block] = [
        Heading("Comparison", 1),
        Text(f"{_count(runs, 'finished run')} on {_count(len(comparison.data), 'data set')}: "
             f"{'; '.join(comparison.data) or 'none'}.", aside=True),
    ]  # fmt: skip
    if comparison.unfinished:
        found.append(Text(f"{_count(len(comparison.unfinished), 'run')} without results, named below.", aside=True))
    if comparison.entries:
        found += [Heading("Results"), results_table(comparison.entries)]
        found += _differences(comparison)
        for data in comparison.data:
            found += [Heading(f"Figures: {data}"), Pictures(pictures.get(data, []))]
        found += [Heading("Cost"), cost_table(comparison)]
    found += _transfers(comparison, pictures)
    found += _references(comparison)
    if architectures:
        found += _architectures(architectures)
    found += _missing(comparison)
    found += [Heading("How this was computed"), Text(METHOD)]
    folded = any(run.folds for entry in comparison.entries for run in entry.group.runs)
    return [*found, Text(FOLDS)] if folded else found


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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


def _differences(comparison: Comparison) -> list[Block]:
    found: list[Block] = [Heading("Differences")]
    if not comparison.differences:
        return [*found, Text("There are no two rows with predictions on the same test images: nothing to compare.")]
    for data in dict.fromkeys(d.first.data for d in comparison.differences):
        of_data = [d for d in comparison.differences if d.first.data == data]
        units = {f"{d.images:,} test images" + (f" of {d.subjects} people" if d.subjects else "") for d in of_data}
        found += [
            Heading(f"{data}, on the same {' or '.join(sorted(units))}", 3),
            Items([(f"{in_words(d)}, {_p(d.p_holm)}.", d.shown) for d in of_data]),
        ]
    if any(d.seeds == (1, 1) for d in comparison.differences):
        found.append(Text(ONE_SEED, aside=True))
    return found


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _transfers(comparison: Comparison, pictures: dict[str, list[Picture]]) -> list[Block]:
    found = transfers(comparison.entries)
    if found is None:
        return []
    matrix, rows, columns = found
    cells = [[name, *(_number(value, 100, 1) if value == value else MISSING for value in row)]
             for name, row in zip(rows, matrix.tolist(), strict=True)]  # fmt: skip
    table = Table(["trained on", *(f"tested on {name}" for name in columns)], cells, 1, "Test accuracy, %.")
    return [Heading("Across data sets"), table, Pictures(pictures.get("", []))]


def _references(comparison: Comparison) -> list[Block]:
    published = [facts for facts in all_datasets() if facts.references]
    names = {dataset(entry.group.data_name).name for entry in comparison.entries}
    related = [facts for facts in published if facts.name in names]
    remark = "" if related else "No run here is on these data sets: for orientation only. "
    rows = [[r.accuracy, facts.title, r.what, r.protocol] for facts in related or published for r in facts.references]
    return [
        Heading("What others report"),
        Text(remark + REFERENCES_NOTE, aside=True),
        Table(["accuracy", "data", "what", "protocol"], rows, 4),
    ]


def _architectures(found: Sequence[Architecture]) -> list[Block]:
    headings, rows = table_of_models(list(found))
    layers, cells = table_of_layers(list(found))
    return [
        Heading("The networks"),
        Table(headings, rows, 1, TABLE_1),
        Table(layers, cells, 2 + len(found), TABLE_2),
    ]


def _missing(comparison: Comparison) -> list[Block]:
    found: list[Block] = []
    if comparison.unfinished:
        found += [
            Heading("Runs without results"),
            Items([(f"{run.name}: {run.reason}", False) for run in comparison.unfinished]),
        ]
    if comparison.remarks:
        found += [Heading("Remarks"), Items([(f"{remark}.", False) for remark in comparison.remarks])]
    return found


def _spread(entry: Entry, metric: Metric) -> str:
    """Mean over seeds, and standard deviation where there are several."""
    mean, spread = (of(f"test/{metric.key}") for of in (entry.group.mean, entry.group.spread))
    return metric.text(mean) if spread is None else f"{metric.text(mean)} ± {metric.text(spread)}"


def _number(value: float | None, factor: float, digits: int) -> str:
    return MISSING if value is None else f"{factor * value:,.{digits}f}"
