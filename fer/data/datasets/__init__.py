"""What is known of each data set, and how a download is recognised: a module per data set, found by being here.

A module holds its `FACTS` and, where the data set has a layout that no other has, `list_samples(source, votes)`, which
gives None where a source is not of it. Pixel tables, parquet files and class folders are read for all of them.
"""

import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from fer.data.parquet import list_parquet, parquet_files
from fer.data.samples import Listing
from fer.data.sources import Source
from fer.data.tables import list_table, pixel_tables

if TYPE_CHECKING:
    from fer.data.pack import Pack


@dataclass(frozen=True)
class Reference:
    """A published accuracy, and the protocol by which it was reached."""

    accuracy: str
    what: str
    protocol: str


@dataclass(frozen=True)
class DatasetFacts:
    """What reports, comparisons and errors say of a data set.

    Attributes:
        name: what configs call it; `NAME_x` is a variant of it.
        title: what people call it.
        owner: who made it.
        licence: the terms of use.
        protocol: who trains, who selects, who is tested.
        caveats: sentences on what its numbers do not say.
        access: address where it is given.
        by_agreement: whether its owners give it under agreement only, so that copies are never fetched.
        official_split: whether published numbers share one test split.
        references: published accuracies.
        other_names: what else it is called, in configs or in names of copies.
        file_name: pattern that the stem of each picture matches; its groups `split` and `subject` say those.
        split_folders: folders, in letters alone, that only this data set has for its splits.
        table_rows: number of faces in the pixel tables that hold it.
        layouts: layouts of older packs, which do not record their data set.
        warning: what whoever asks a model of it must know at once; empty for photographs of faces.
    """

    name: str
    title: str
    owner: str
    licence: str
    protocol: str
    caveats: tuple[str, ...]
    access: str | None = None
    by_agreement: bool = False
    official_split: bool = False
    references: tuple[Reference, ...] = ()
    other_names: tuple[str, ...] = ()
    file_name: re.Pattern[str] | None = None
    split_folders: frozenset[str] = frozenset()
    table_rows: tuple[int, ...] = ()
    layouts: tuple[str, ...] = ()
    warning: str = ""


@cache
def _modules() -> tuple[ModuleType, ...]:
    found = (import_module(f"{__name__}.{entry.name}") for entry in pkgutil.iter_modules(__path__))
    return tuple(module for module in found if hasattr(module, "FACTS"))


def all_datasets() -> list[DatasetFacts]:
    """The facts of every data set, by name."""
    return [module.FACTS for module in _modules()]


def dataset(given: "str | Pack") -> DatasetFacts:
    """The facts of a data set, by its name, by that of a variant (`ckplus_contempt`), or of a pack.

    Of data that are none of the known sets, those of `folder`: someone's own.
    """
    if isinstance(given, str):
        return _find(lambda facts: _is_called(facts, given)) or dataset("folder")
    if recorded := given.manifest.get("dataset"):
        return dataset(str(recorded))
    return _find(lambda facts: given.manifest["layout"] in facts.layouts) or dataset(given.folder.name)


def list_samples(source: Source, votes: bool = False) -> Listing:
    """Recognise the layout of a source and list its samples.

    Args:
        source: what to look through.
        votes: whether the labels are those of FER+, in place of FER2013's own.

    Raises:
        DataError: no layout is recognised, or one is but its structure is malformed.
    """
    for module in _modules():
        reader = getattr(module, "list_samples", None)
        listing = None if reader is None else reader(source, votes)
        if listing is not None:
            return replace(listing, dataset=module.FACTS.name)
    if tables := pixel_tables(source):
        listing = list_table(source, tables)
        known = _find(lambda facts: len(listing.samples) in facts.table_rows)
        return replace(listing, dataset=known.name if known else None)
    if files := parquet_files(source):
        return list_parquet(source, files)
    from fer.data.datasets.folder import list_class_folders  # which imports DatasetFacts from here

    return list_class_folders(source, all_datasets())


def _find(condition: Callable[[DatasetFacts], bool]) -> DatasetFacts | None:
    return next(filter(condition, all_datasets()), None)


def _is_called(facts: DatasetFacts, name: str) -> bool:
    """Whether a name is that of the data set, or of a variant or copy of it: `ckplus_all`, `fer2013-clean`."""
    return any(re.match(rf"{re.escape(known)}(?![a-z0-9])", name) for known in (facts.name, *facts.other_names))
