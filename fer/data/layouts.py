"""Raw downloads -> samples. The format is told from the content, never from an option.

A reader sees the names of a source's files and gives a `RawSample` for each picture. Files that only one layout has
(labels of CK+, of RAF-DB, of AffectNet) decide first, then tables of pixels, then folders named after emotions; what
a file's own name says (FER2013's split prefixes, CK+'s subjects) is recovered from it.
"""

import re
from pathlib import PurePosixPath

from fer.data.datasets.agreement_sets import is_affectnet, list_affectnet, list_rafdb, rafdb_list
from fer.data.datasets.ckplus import label_files, list_sequences
from fer.data.datasets.ferplus import votes_file, with_votes
from fer.data.parquet import list_parquet, parquet_files
from fer.data.samples import Listing, RawSample, split_of_word
from fer.data.sources import Source
from fer.data.tables import list_table, pixel_tables
from fer.emotions import EMOTIONS, emotion_name
from fer.errors import DataError
from fer.faces.pictures import PICTURES

CLASS_FOLDERS = "class folders"  # someone's own: faces cut out already, or whole photographs

# FER2013 as folders: the prefix of the file is the Usage column of the 2013 contest.
FER2013_NAME = re.compile(r"(Training|PublicTest|PrivateTest)_\d+$")
FER2013_SPLITS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}

# CK+: subject_sequence_frame, as in S010_004_00000017.
CKPLUS_NAME = re.compile(r"(S\d{3})_\d{3}_\d{8}$")


def list_samples(source: Source, where: str, votes: bool = False) -> Listing:
    """Recognise the layout of a source and list its samples.

    Args:
        source: what to look through.
        where: what errors call it.
        votes: whether the labels are those of FER+, in place of FER2013's own.

    Raises:
        DataError: no layout is recognised, or one is but its structure is malformed.
    """
    if labels := label_files(source):
        return list_sequences(source, labels, where)
    if labels_of_faces := rafdb_list(source):
        return list_rafdb(source, labels_of_faces, where)
    if is_affectnet(source):
        return list_affectnet(source, where)
    if tables := pixel_tables(source):
        faces = list_table(source, tables, where)
        if not votes:
            return faces
        table = votes_file(source)
        if table is None:
            raise DataError(f"{where} holds no votes of FER+: put fer2013new.csv beside the contest's fer2013.csv")
        return with_votes(faces, source, table, where)
    if votes or votes_file(source):
        raise DataError(f"{where} holds no faces for the votes of FER+: put the contest's fer2013.csv beside them")
    if files := parquet_files(source):
        return list_parquet(source, files, where)
    return _list_class_folders(source, where)


def _list_class_folders(source: Source, where: str) -> Listing:
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
        samples.append(RawSample(name, emotion, _split(path), _subject(path)))
    if not samples:
        raise DataError(
            f"unknown layout in {where}: no picture in a folder named after an emotion ({', '.join(EMOTIONS)}), "
            f"no table with `emotion` and `pixels`, no labels of CK+, RAF-DB or AffectNet; found {_first(source.names)}"
        )
    return Listing(_layout(samples), samples, rejected, faces="auto")


def _split(path: PurePosixPath) -> str:
    prefix = FER2013_NAME.match(path.stem)
    if prefix:
        return FER2013_SPLITS[prefix[1]]
    named = (split_of_word(part) for part in reversed(path.parts[:-1]))  # the nearest: training_data/test/happy/1.png
    return next(filter(None, named), "all")


def _subject(path: PurePosixPath) -> str:
    match = CKPLUS_NAME.match(path.stem)
    return match[1] if match else ""


def _layout(samples: list[RawSample]) -> str:
    stems = [PurePosixPath(sample.name).stem for sample in samples]
    if all(FER2013_NAME.match(stem) for stem in stems):
        return "class folders with FER2013 split prefixes"
    if all(CKPLUS_NAME.match(stem) for stem in stems):
        return "class folders with CK+ subject names"
    return CLASS_FOLDERS


def _first(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", …" if len(names) > count else "") if names else "no file at all"
