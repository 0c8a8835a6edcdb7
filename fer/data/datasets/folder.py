"""One's own faces, and every data set without a module: pictures in folders that are named after emotions."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from fer.data.datasets import DatasetFacts
from fer.data.file_kinds import SNIFFED, not_data
from fer.data.samples import Listing, RawSample
from fer.data.sources import Source
from fer.data.split_words import settled, split_word
from fer.data.tables import tables_of
from fer.emotions import EMOTIONS, emotion_name, nearest_emotion, words_of
from fer.errors import DataError
from fer.faces.pictures import PICTURES

log = logging.getLogger(__name__)

CLASS_FOLDERS = "class folders"
MAX_FOLDERS = 6  # that an error or a warning names
UNREAD = re.compile(r"(?i)\.(rar|7z|zst|h5|hdf5|pkl|pickle|db|sqlite3?|xls)$")  # may hold pictures, and are not read

FACTS = DatasetFacts(
    name="folder",
    title="your own faces",
    owner="unknown",
    licence="unknown: ask whoever gave you the pictures",
    protocol="folders named train, val and test, folds by subject, or the last tenth of each emotion",
    caveats=("Ask of this data, of which nothing is known here: who is in it, who labelled it, and did they agree?",),
)


@dataclass(frozen=True)
class _Picture:
    """A picture and what its path says."""

    name: str
    emotion: str
    subject: str
    split: str | None  # train, val, test or eval, see `fer.data.split_words`
    word: str | None  # the part of the path that says so


def list_class_folders(source: Source, known: Iterable[DatasetFacts]) -> Listing:
    """The pictures in folders named after emotions; what their names tell (split, subject) is taken from them.

    Where some paths name a split, a picture whose path names none gets `all`: it neither trains nor tests.

    Args:
        source: what to look through.
        known: data sets whose file or folder names tell more than the emotion.

    Raises:
        DataError: no picture in such a folder.
    """
    known = list(known)
    telling = [facts for facts in known if facts.file_name is not None]
    found = {name: _picture(name, telling) for name in source.names}
    for link, target in source.links.items():
        _follow(link, _picture(link, telling), target, found)
    pictures = [each for _, each in sorted(found.items()) if isinstance(each, _Picture)]
    rejected = [(name, _why(source, name, each)) for name, each in found.items() if isinstance(each, str)]
    if not pictures:
        raise DataError(_unknown_layout(source))
    pictures = _with_prefixes(pictures)
    split_of = settled(picture.split for picture in pictures if picture.split)
    _tell_splits(pictures, split_of, source.where)
    samples = [
        RawSample(each.name, each.emotion, split_of[each.split] if each.split else "all", each.subject)
        for each in pictures
    ]
    what, facts = _recognised(pictures, known)
    layout = CLASS_FOLDERS if facts is None else f"{CLASS_FOLDERS} with {facts.title} {what}"
    return Listing(layout, samples, rejected, faces="auto", dataset=facts.name if facts else None)


def _picture(name: str, telling: Iterable[DatasetFacts]) -> _Picture | str:
    """A picture with what its path says, or why it is left out."""
    path = PurePosixPath(name)
    if not name.lower().endswith(PICTURES):
        return "not a picture"
    folders = path.parts[:-1]
    named = {emotion: None for part in folders if (emotion := emotion_name(part)) is not None}
    if len(named) > 1:
        return f"folders of its path are named after {' and '.join(named)}"
    if not named:
        near = {part: emotion for part in folders if (emotion := nearest_emotion(part))}
        hint = "".join(f"; {part} is near {emotion}" for part, emotion in near.items())
        return f"no folder of its path is named after an emotion{hint}"
    (emotion,) = named
    matches = (facts.file_name.match(path.stem) for facts in telling if facts.file_name is not None)
    says = next((match.groupdict() for match in matches if match), {})
    words = [says.get("split") or "", *reversed(folders)]  # the nearest folder: training_data/test/happy/1.png
    word = next((word for word in words if split_word(word)), None)
    return _Picture(name, emotion, says.get("subject", ""), split_word(word) if word else None, word)


def _follow(link: str, by_link: _Picture | str, target: str, found: dict[str, _Picture | str]) -> None:
    """Read a file by a link to it, where the path of the link says more than that of the file."""
    read = f"a link into {PurePosixPath(target).parent}, where the file is read itself"
    own = found.get(target, f"read as {link}")  # a link before this one was followed
    if isinstance(by_link, str):
        found[link] = read if isinstance(own, _Picture) else by_link
    elif isinstance(own, str):
        found[link] = by_link
        found.pop(target, None)
    elif own.emotion == by_link.emotion and by_link.split and not own.split:
        found[link] = by_link
        del found[target]
    else:
        found[link] = read if own.emotion == by_link.emotion else f"{read}, as {own.emotion}"


def _with_prefixes(pictures: list[_Picture]) -> list[_Picture]:
    """The same pictures; where no folder names a split, the first word of their names may: `test_7.png`."""
    if any(picture.split for picture in pictures):
        return pictures
    prefixed = []
    for picture in pictures:
        prefix = re.split(r"[\W\d_]", PurePosixPath(picture.name).name)[0]
        prefixed.append(_Picture(picture.name, picture.emotion, picture.subject, split_word(prefix), prefix or None))
    splits = {picture.split for picture in prefixed}
    return prefixed if "train" in splits and len(splits - {None}) > 1 else pictures


def _tell_splits(pictures: list[_Picture], split_of: dict[str, str], where: str) -> None:
    """Say which words were taken for splits, and which folders name none beside some that do."""
    if not split_of:
        _tell_alike(pictures, where)
        return
    words = {picture.word: split_of[picture.split] for picture in pictures if picture.split}
    if any(word != split for word, split in words.items()):
        log.info("splits: %s", ", ".join(f"{word} is {split}" for word, split in list(words.items())[:MAX_FOLDERS]))
    unnamed = Counter(
        str(PurePosixPath(picture.name).parent)
        for picture in pictures
        if (split_of[picture.split] if picture.split else "all") == "all"
    )
    if unnamed:
        most = ", ".join(f"{folder} ({number:,})" for folder, number in unnamed.most_common(MAX_FOLDERS))
        log.warning(
            "%s: pictures in folders that name no split, beside folders that do: %s. They neither train nor test; name "
            "those folders train, val or test: %s%s",
            where,
            f"{unnamed.total():,}",
            most,
            ", …" if len(unnamed) > MAX_FOLDERS else "",
        )


def _tell_alike(pictures: list[_Picture], where: str) -> None:
    """Warn of a few folders that hold the same emotions and name no split, which may be splits of another name."""
    emotions: dict[str, set[str]] = defaultdict(set)
    for picture in pictures:
        parts = PurePosixPath(picture.name).parts[:-1]
        depth = next(depth for depth, part in enumerate(parts) if emotion_name(part))
        emotions["/".join(parts[:depth])].add(picture.emotion)
    alike = sorted(folder for folder, found in emotions.items() if folder and len(found) > 1)
    if 1 < len(alike) <= MAX_FOLDERS and not any(picture.subject for picture in pictures):
        log.warning(
            "%s: %s hold the same emotions and name no split: their pictures are taken together; if they are splits, "
            "name them train, val and test",
            where,
            ", ".join(alike),
        )


def _why(source: Source, name: str, reason: str) -> str:
    """Why a file is left out; of an archive that is not read, what to do."""
    return (UNREAD.search(name) and _not_data(source, name)) or reason


def _recognised(pictures: list[_Picture], known: Iterable[DatasetFacts]) -> tuple[str, DatasetFacts | None]:
    """The data set that all files, or all folders, are named as, and what of their names says so."""
    stems = [PurePosixPath(picture.name).stem for picture in pictures]
    words = {"".join(words_of(picture.word or "")) for picture in pictures}
    for facts in known:
        if facts.file_name is not None and all(map(facts.file_name.match, stems)):
            return "split prefixes" if "split" in facts.file_name.groupindex else "subject names", facts
        if facts.split_folders and facts.split_folders <= words <= {*facts.split_folders, "training", "train"}:
            return "split folders", facts
    return "", None


def _unknown_layout(source: Source) -> str:
    folders: dict[str, int] = defaultdict(int)
    for name in source.names:
        if name.lower().endswith(PICTURES):
            folders[PurePosixPath(name).parent.name] += 1
    numbered = sorted(folder for folder in folders if folder.isdecimal())
    hints = [f"{folder} is near {near}" for folder in folders if (near := nearest_emotion(folder))][:MAX_FOLDERS]
    if numbered:
        hints.append(f"class folders are numbers ({', '.join(numbered[:8])}): rename them to emotions")
    hints += [f"{name} is {what}" for name in source.names[:MAX_FOLDERS] if (what := _not_data(source, name))]
    hints += [f"{name}: {reason}" for name, reason in source.lost[:MAX_FOLDERS]]
    beside = (
        "labels beside pictures are read in the layouts of RAF-DB and AffectNet alone; sort the pictures into a folder "
        "for each emotion"
    )
    wanted = beside if folders else "`pixels` is the column with all levels of a face, separated by spaces"
    tables = list(tables_of(source).items())[:MAX_FOLDERS]
    hints += [f"{name} is a table ({table.header[:60]}): {wanted}" for name, table in tables if table.header]
    return (
        f"unknown layout in {source.where}: no picture in a folder named after an emotion ({', '.join(EMOTIONS)}), "
        "no table with `emotion` and `pixels`, no labels of CK+, RAF-DB or AffectNet; found "
        f"{_first(source.names)}{''.join(f'; {hint}' for hint in hints)}"
    )


def _not_data(source: Source, name: str) -> str | None:
    try:
        with source.open(name) as file:
            return not_data(file.read(SNIFFED))
    except (OSError, DataError, NotImplementedError):  # a source without files: drawn faces
        return None


def _first(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", …" if len(names) > count else "") if names else "no file at all"
