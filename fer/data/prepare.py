"""The command that packs a data set."""

from rich.console import Console
from rich.table import Table

from fer.data.pack import make_pack, open_pack
from fer.emotions import EMOTIONS
from fer.errors import ConfigError


def prepare(name: str, source: str | None, root: str, store_size: int) -> None:
    """Pack a source anew, in place of an older pack, and print what it holds.

    Raises:
        ConfigError: no source given.
        DataError: a source that cannot be read.
    """
    if source is None:
        raise ConfigError("say what you downloaded: data.source=PATH (a folder or .zip)")
    pack = open_pack(make_pack(root, name, source, store_size))
    counts = pack.manifest["counts"]
    emotions = [emotion for emotion in EMOTIONS if any(emotion in by for by in counts.values())]
    table = Table(title=f"{pack.folder}: {len(pack):,} images, {pack.manifest['layout']}", box=None)
    table.add_column("split")
    for heading in (*emotions, "all", "subjects"):
        table.add_column(heading, justify="right")
    for split, by in counts.items():
        subjects = set(pack.subjects[pack.splits == split].tolist()) - {""}
        numbers = [by.get(emotion, 0) for emotion in emotions]
        table.add_row(split, *(f"{n:,}" for n in (*numbers, sum(numbers))), str(len(subjects) or "unknown"))
    Console().print(table)
    for entry in pack.manifest["rejected"][:3]:
        Console().print(f"left out: {entry['name']}: {entry['reason']}", highlight=False, markup=False)
