"""FER+ (Barsoum et al. 2016): ten votes for each face of FER2013, row by row beside `fer2013.csv`.

The label is the emotion with most votes (the first of the columns where several have as many), the votes without
those for `unknown` and `NF` (no face) are kept as a distribution. A row whose largest count is one of those two is
left out, as its authors do.
"""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np

from fer.data.datasets import DatasetFacts, Reference
from fer.data.samples import Listing, RawSample
from fer.data.sources import Source
from fer.data.split_words import split_word
from fer.data.table_text import table_format
from fer.data.tables import list_table, pixel_tables, tables_of
from fer.emotions import EMOTIONS, emotion_name
from fer.errors import DataError

UNUSABLE = ("unknown", "nf")


FACTS = DatasetFacts(
    name="ferplus",
    title="FER+",
    owner="E. Barsoum, C. Zhang, C. Canton Ferrer, Z. Zhang (2016)",
    access="https://github.com/microsoft/FERPlus",
    licence="of the votes: see their repository; of the pictures: none stated, do not redistribute",
    protocol="FER2013's splits: train on Training, select on PublicTest, test on PrivateTest once",
    official_split=True,
    caveats=(
        "FER+ labels are the votes of ten people per image (Barsoum et al. 2016) for the pictures of FER2013: better "
        "labels, the same people, of whom nothing is known.",
    ),
    references=(
        Reference("89.35 %", "SCN (Wang 2020)", "FER2013's splits; selection not checked"),
        Reference("89.64 %", "EAC (Zhang 2022)", "FER2013's splits; selection not checked"),
    ),
    layouts=("FER+ votes",),
)


def list_samples(source: Source, votes: bool = False) -> Listing | None:
    """The faces of `fer2013.csv` with the labels of the votes, where those are asked for.

    Raises:
        DataError: votes without faces, or no votes where they are asked for; see `with_votes`.
    """
    faces, table = pixel_tables(source), _votes_file(source)
    if (votes or table) and not faces:
        raise DataError(
            f"{source.where} holds no faces for the votes of FER+: put the contest's fer2013.csv beside them"
        )
    if not votes:
        return None
    if table is None:
        raise DataError(f"{source.where} holds no votes of FER+: put fer2013new.csv beside the contest's fer2013.csv")
    return with_votes(list_table(source, faces), source, table)


def _votes_file(source: Source) -> str | None:
    """The table of votes within a source; None where there is none."""
    wanted = {"image name", "contempt", "unknown", "nf"}
    return next((name for name, table in tables_of(source).items() if wanted <= {*table.columns}), None)


def with_votes(faces: Listing, source: Source, name: str) -> Listing:
    """The faces of `fer2013.csv` with the labels and distributions of FER+.

    Raises:
        DataError: tables that are not row-aligned, or a malformed row, named by table and line.
    """
    content = source.read(name)
    table = table_format(io.BytesIO(content))
    try:
        rows = [fields for _, fields in table.rows(io.BytesIO(content))]
    except (csv.Error, UnicodeError) as error:
        raise DataError(f"{source.where}: {name} is damaged or no table ({error})") from error
    columns = table.columns
    if "usage" not in columns:
        raise DataError(
            f"{source.where}: {name} has no column Usage: it is not the table that the authors of FER+ give"
        )
    if len(rows) != len(faces.samples):
        raise DataError(
            f"{source.where}: {name} has {len(rows):,} rows and the faces {len(faces.samples):,}; FER+ is read row by "
            "row beside the whole fer2013.csv of the contest"
        )
    kept: list[int] = []
    samples: list[RawSample] = []
    distributions: list[np.ndarray] = []
    rejected = [entry for entry in faces.rejected if entry[0] != name]
    for index, (fields, sample) in enumerate(zip(rows, faces.samples, strict=True)):
        place = f"{source.where}: {name}, line {index + 2}"
        if len(fields) != len(columns):
            raise DataError(f"{place} has {len(fields)} fields, its header {len(columns)}")
        row = dict(zip(columns, fields, strict=True))
        if split_word(row["usage"]) != sample.split:
            raise DataError(f"{place} says {row['usage']}, the face beside it is of {sample.split}: not the same order")
        counts = _counts(row, columns, place)
        winner = max(counts, key=lambda column: counts[column])
        emotion = emotion_name(winner)
        if emotion is None or not counts[winner]:
            rejected.append((sample.name, f"most votes are for {winner}"))
            continue
        votes = np.zeros(len(EMOTIONS), dtype=np.float32)
        for column, count in counts.items():
            if (voted := emotion_name(column)) is not None:
                votes[EMOTIONS.index(voted)] += count
        kept.append(index)
        samples.append(RawSample(sample.name, emotion, sample.split, sample.subject))
        distributions.append(votes / votes.sum())
    if not samples:
        raise DataError(f"{source.where}: {name} has no row with votes for an emotion")
    assert faces.images is not None, "FER+ is read beside a table of pixels"
    return Listing("FER+ votes", samples, rejected, images=faces.images[kept], votes=np.stack(distributions))


def _counts(row: Mapping[str, str], columns: Sequence[str], place: str) -> dict[str, int]:
    counts = {}
    for column in columns:
        if emotion_name(column) is None and column not in UNUSABLE:
            continue
        if not row[column].strip().isdecimal():
            raise DataError(f"{place}: {row[column]!r} votes for {column}: not a whole number")
        counts[column] = int(row[column])
    return counts
