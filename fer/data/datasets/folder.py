"""One's own faces, and every data set without a module: pictures in folders that are named after emotions."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from fer.data.datasets import DatasetFacts
from fer.data.samples import Listing, RawSample, split_of_usage, split_of_word
from fer.data.sources import Source
from fer.emotions import EMOTIONS, emotion_name
from fer.errors import DataError
from fer.faces.pictures import PICTURES

CLASS_FOLDERS = "class folders"

FACTS = DatasetFacts(
    name="folder",
    title="your own faces",
    owner="unknown",
    licence="unknown: ask whoever gave you the pictures",
    protocol="folders named train, val and test, folds by subject, or the last tenth of each emotion",
    caveats=("Ask of this data, of which nothing is known here: who is in it, who labelled it, and did they agree?",),
)


def list_class_folders(source: Source, known: Iterable[DatasetFacts]) -> Listing:
    """The pictures in folders named after emotions; what their names tell (split, subject) is taken from them.

    Args:
        source: what to look through.
        known: data sets whose file names tell more than the folders do.

    Raises:
        DataError: no picture in such a folder.
    """
    telling = [facts for facts in known if facts.file_name is not None]
    samples, rejected = [], []
    for name in source.names:
        path = PurePosixPath(name)
        if not name.lower().endswith(PICTURES):
            rejected.append((name, "not a picture"))
            continue
        named = {emotion: None for part in path.parts[:-1] if (emotion := emotion_name(part)) is not None}
        if len(named) != 1:
            several = f"folders of its path are named after {' and '.join(named)}"
            rejected.append((name, several if named else "no folder of its path is named after an emotion"))
            continue
        (emotion,) = named
        says = _of_name(path.stem, telling)
        samples.append(RawSample(name, emotion, _split(path, says.get("split")), says.get("subject", "")))
    if not samples:
        raise DataError(
            f"unknown layout in {source.where}: no picture in a folder named after an emotion ({', '.join(EMOTIONS)}), "
            f"no table with `emotion` and `pixels`, no labels of CK+, RAF-DB or AffectNet; found {_first(source.names)}"
        )
    stems = [PurePosixPath(sample.name).stem for sample in samples]
    facts = next((facts for facts in telling if all(facts.file_name and facts.file_name.match(s) for s in stems)), None)
    layout = CLASS_FOLDERS if facts is None else f"{CLASS_FOLDERS} with {facts.title} {_what(facts)}"
    return Listing(layout, samples, rejected, faces="auto", dataset=facts.name if facts else None)


def _of_name(stem: str, telling: Iterable[DatasetFacts]) -> dict[str, str]:
    """What the name of a file says of its picture: `split`, `subject`, or nothing."""
    matches = (facts.file_name.match(stem) for facts in telling if facts.file_name is not None)
    return next((match.groupdict() for match in matches if match), {})


def _split(path: PurePosixPath, usage: str | None) -> str:
    if usage is not None and (split := split_of_usage(usage)):
        return split
    named = (split_of_word(part) for part in reversed(path.parts[:-1]))  # the nearest: training_data/test/happy/1.png
    return next(filter(None, named), "all")


def _what(facts: DatasetFacts) -> str:
    assert facts.file_name is not None
    return "split prefixes" if "split" in facts.file_name.groupindex else "subject names"


def _first(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", …" if len(names) > count else "") if names else "no file at all"
