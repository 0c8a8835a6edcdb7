"""Compare finished runs: tables, paired statistics, figures, in one Markdown file and one page."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fer.comparison.figure_table import write_figures
from fer.comparison.groups import group_runs, mixed_code
from fer.comparison.networks import RESNETS, Architecture, architecture, measure_costs, measured_on
from fer.comparison.pairs import accuracies_of, below_majority, compare_all, in_words
from fer.comparison.people import results_by_people, write_people
from fer.comparison.report import contents, results_table, to_html, to_markdown
from fer.comparison.result import Comparison, Entry, write_differences, write_rows, write_runs, write_settings
from fer.errors import ConfigError, RunError
from fer.files import replacing
from fer.runs.finished import find_runs

CONSOLE_COLUMNS = 6  # of the table of results: to the first metric after the accuracy; the page has all
SENTENCES = 12  # on the console; the page has all


def compare(
    runs: Sequence[Path | str] | Path | str,
    folder: Path | str,
    *,
    measure: bool = True,
    architectures: bool | None = None,
) -> Comparison:
    """Write `comparison.csv`, `.md`, `.html`, other tables and `figures/`; print the short of it.

    Args:
        runs: run folders, folders of them at any depth, globs.
        folder: where the files go.
        measure: time the networks on this machine.
        architectures: the paper's tables of the three ResNets; None where all three are among the runs.

    Raises:
        RunError: no run, or none that is finished.
    """
    folder = Path(folder)
    finished, unfinished = find_runs([runs] if isinstance(runs, str | Path) else runs)
    if not finished:
        named = "; ".join(f"{run.name}: {run.reason}" for run in unfinished[:3])
        raise RunError(f"none of {len(unfinished)} runs is finished ({named}); wait, or go on with them")
    groups, remarks = group_runs(finished)
    costs = measure_costs(groups) if measure else [None] * len(groups)
    entries = [Entry(*row) for row in zip(groups, accuracies_of(groups), costs, strict=True)]
    differences, cautions = compare_all(groups)
    remarks += [f"{run.name}: {remark}" for run in finished for remark in run.remarks]
    remarks += [*mixed_code(groups), *below_majority(groups)]
    remarks += _test_readings(entries)
    timed_on = measured_on() if any(costs) else None
    people = results_by_people(groups)
    comparison = Comparison(entries, differences, unfinished, [*remarks, *cautions], timed_on, people)
    write(comparison, folder, _architectures(comparison, architectures))
    print_summary(comparison, folder)
    return comparison


def _test_readings(entries: Sequence[Entry]) -> list[str]:
    """How often each test split was scored, where runs say so."""
    times: dict[str, int] = {}
    for entry in entries:
        for run in entry.group.runs:
            if isinstance(count := run.metrics.get("test/readings"), int):
                times[entry.group.data] = max(count, times.get(entry.group.data, 0))
    return [
        f"The test split of {data} was scored {count} times so far (test_readings.csv beside the data): what is "
        "chosen by these scores is too good; choose by validation."
        for data, count in times.items()
        if count > 1
    ]


def output_folder(runs: Sequence[str] | str | None, output: str | None = None) -> Path:
    """Where the files go: as said, else the one folder that was given, else a new one.

    Raises:
        ConfigError: no runs given.
    """
    if not runs:
        raise ConfigError("say what to compare: runs=FOLDER (with run folders at any depth), or runs=[A,B]")
    if output:
        return Path(output)
    places = [runs] if isinstance(runs, str) else list(runs)
    if len(places) == 1 and Path(places[0]).is_dir():
        return Path(places[0])
    return Path("outputs", "comparisons", f"{datetime.now():%Y-%m-%d_%H-%M-%S}")


def _architectures(comparison: Comparison, wanted: bool | None) -> list[Architecture]:
    there = {entry.group.backbone.split(".")[0] for entry in comparison.entries}
    if wanted is None:
        wanted = set(RESNETS) <= there
    return [architecture(name) for name in RESNETS] if wanted else []


def write(comparison: Comparison, folder: Path, architectures: Sequence[Architecture] = ()) -> None:
    """All files of a comparison; the page last."""
    pictures = write_figures(comparison, folder)
    write_rows(folder / "comparison.csv", comparison.entries)
    write_differences(folder / "differences.csv", comparison.differences)
    write_runs(folder / "runs.csv", comparison.entries)
    write_people(folder / "groups.csv", comparison.people)
    write_settings(folder / "settings.csv", comparison.entries)
    content = contents(comparison, pictures, architectures, folder)
    with replacing(folder / "comparison.md") as file:
        file.write(to_markdown(content))
    with replacing(folder / "comparison.html") as file:
        file.write(to_html(content, f"Comparison: {'; '.join(comparison.data)}"))


def print_summary(comparison: Comparison, folder: Path, console: Console | None = None) -> None:
    """The results, what differs in words, where the files are."""
    console = console or Console()
    results = results_table(comparison.entries)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, heading in enumerate(results.headings[:CONSOLE_COLUMNS]):
        words = column < results.words
        table.add_column(heading.removeprefix("test "), justify="left" if words else "right", no_wrap=not words)
    for row in results.rows:
        table.add_row(*(escape(str(cell)) for cell in row[:CONSOLE_COLUMNS]))
    console.print()
    console.print(table)
    for difference in comparison.differences[:SENTENCES]:
        console.print(f"{difference.first.data}: {in_words(difference)}", highlight=False, markup=False, soft_wrap=True)
    if len(comparison.differences) > SENTENCES:
        console.print(f"{len(comparison.differences) - SENTENCES} more comparisons in comparison.md")
    for run in comparison.unfinished:
        console.print(f"no results: {run.name}: {run.reason}", highlight=False, markup=False, soft_wrap=True)
    for what, where in (("page", "comparison.html"), ("text", "comparison.md"), ("numbers", "comparison.csv")):
        console.print(f"{what:<11}{folder / where}", highlight=False, markup=False, soft_wrap=True)
