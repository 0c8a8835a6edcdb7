"""What packing left out, told by folder: a class folder with an odd name is one line with its number of files."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

MAX_LINES = 12  # folders that are named; the manifest has every file


def left_out_lines(rejected: Iterable[tuple[str, str]]) -> list[str]:
    """Lines for the files that were left out, one for each folder and reason, the most files first.

    Args:
        rejected: path and reason of each file.
    """
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, reason in rejected:
        groups[str(PurePosixPath(name).parent), reason].append(name)
    ordered = sorted(groups.items(), key=lambda entry: -len(entry[1]))
    lines = [_line(folder, reason, names) for (folder, reason), names in ordered[:MAX_LINES]]
    if hidden := ordered[MAX_LINES:]:
        number = sum(len(names) for _, names in hidden)
        lines.append(f"{number:,} more in {len(hidden):,} groups, each with its reason in manifest.json")
    return lines


def _line(folder: str, reason: str, names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]}: {reason}"
    first = PurePosixPath(names[0]).name
    return f"{'' if folder == '.' else f'{folder}: '}{len(names):,} files ({first}, …): {reason}"
