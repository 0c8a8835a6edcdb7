"""Who trains and who is tested: official splits as they are, or subject-exclusive folds."""

import logging
import re

import numpy as np

from fer.data.datasets import dataset
from fer.data.datasets.folder import CLASS_FOLDERS
from fer.data.pack import Pack
from fer.errors import ConfigError, DataError

log = logging.getLogger(__name__)

VALIDATION_EVERY = 9  # one training subject in nine validates
HELD_OUT_EVERY = 10  # one image in ten tests, where there is neither a split nor a subject


def subject_fold_splits(subjects: np.ndarray, fold: int, folds: int) -> np.ndarray:
    """Split by subject: nobody is in two splits.

    Subjects are sorted; those at positions equal to `fold` modulo `folds` are tested (the common CK+ rule).
    Of the others, in the same order, every ninth (from position `fold` modulo 9) validates, the rest train.

    Args:
        subjects: subject of each image, str [N], none empty.
        fold: the tested fold, 0 <= fold < folds.
        folds: how many folds, 2 <= folds <= number of subjects.

    Returns:
        train, val or test for each image, str [N].

    Raises:
        DataError: images without a subject, or a fold that does not exist.
    """
    if (subjects == "").any():
        raise DataError(
            f"{int((subjects == '').sum())} of {len(subjects)} images have no subject, so they cannot be folded by "
            "subject, and a random split of frames would measure memory; where names tell the person give a pattern "
            "(data.subject), else data.folds=null"
        )
    people = np.unique(subjects)
    if not 2 <= folds <= len(people):
        raise DataError(f"data.folds={folds}: between 2 and {len(people)} (the number of subjects) folds can be made")
    if not 0 <= fold < folds:
        raise DataError(f"data.fold={fold}: with data.folds={folds} the folds are 0 to {folds - 1}")
    tested = people[fold::folds]
    others = np.setdiff1d(people, tested)
    validating = others[fold % VALIDATION_EVERY :: VALIDATION_EVERY]
    if len(validating) == 0:
        validating = others[-1:]
    return np.where(np.isin(subjects, tested), "test", np.where(np.isin(subjects, validating), "val", "train")).astype(
        "<U5"
    )


def with_validation(splits: np.ndarray, emotions: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Official splits, where there is no `val` one, with a ninth of `train` taken as `val`.

    By subject where all training images have one; else the last block of each emotion, in table order, as `held_out`
    tests: neighbours by name are often frames of one recording.
    """
    splits = splits.copy()
    train = np.flatnonzero(splits == "train")
    people = np.unique(subjects[train])
    if len(people) > 1 and "" not in people:
        splits[train[np.isin(subjects[train], people[::VALIDATION_EVERY])]] = "val"
        return splits
    for emotion in np.unique(emotions[train]):
        rows = train[emotions[train] == emotion]
        if len(rows) > 1:  # a single image is worth more in training
            splits[rows[len(rows) - -(-len(rows) // VALIDATION_EVERY) :]] = "val"
    return splits


def held_out(splits: np.ndarray, emotions: np.ndarray) -> np.ndarray:
    """Splits for data with neither a test split nor subjects: blocks of each emotion, in table order.

    Of each emotion's images the last tenth tests; the ninth before it validates, unless there is a `val` split. Blocks,
    because neighbours by name are often frames of one recording: drawn at random they would be on both sides.

    Args:
        splits: train, val or all for each image, str [N].
        emotions: of each image, str [N].

    Returns:
        train, val or test for each image, str [N], and all for those in no split where others are in train; emotions
        of fewer than three images only train.
    """
    held = np.where(splits == "val", "val", "train").astype("<U5")
    if "train" in splits:
        held[splits == "all"] = "all"
    for emotion in np.unique(emotions):
        rows = np.flatnonzero((emotions == emotion) & (held == "train"))
        if len(rows) < 3:
            continue
        rest, tested = np.split(rows, [len(rows) - -(-len(rows) // HELD_OUT_EVERY)])
        held[tested] = "test"
        if "val" not in splits:
            held[rest[len(rest) - -(-len(rest) // VALIDATION_EVERY) :]] = "val"
    return held


def subjects_on_both_sides(subjects: np.ndarray, splits: np.ndarray) -> int:
    """How many people are in more than one split."""
    known = subjects != ""
    people = np.unique(np.stack([subjects[known], splits[known]], axis=1), axis=0)
    return int((np.unique(people[:, 0], return_counts=True)[1] > 1).sum())


def warn_of_no_split(pack: Pack, name: str | None) -> None:
    """Warn of images that are in no split, beside others that are: they neither train nor test."""
    nowhere = int((pack.splits == "all").sum())
    if nowhere:
        log.warning("%d of %d images of %s are in no split: they are left out", nowhere, len(pack), name)


def warn_of_own_splits(pack: Pack, name: str | None) -> None:
    """Warn of what a user may not know of the splits that the data brought along.

    Args:
        pack: with splits of its own.
        name: what the user calls it.
    """
    shared = subjects_on_both_sides(pack.subjects, pack.splits)
    if shared:
        log.warning(
            "%d people of %s are in more than one split: the accuracy is too high for new people; "
            "data.folds=10 folds=all tests everybody by a model that has not seen them",
            shared,
            name,
        )
    if dataset(pack).official_split and pack.manifest["layout"] == CLASS_FOLDERS:
        log.warning(
            "%s: neither a column Usage nor prefixes as PublicTest_ say which images are of the official split: "
            "this accuracy compares with no published one",
            name,
        )


def named_subjects(names: np.ndarray, pattern: str) -> np.ndarray:
    """The person of each image, by its name.

    Args:
        names: paths within the data set, str [N].
        pattern: regular expression that is looked for in each; its first group is the person, or all that it matches
            where it has none.

    Raises:
        ConfigError: no regular expression.
        DataError: names that it does not match; the line names one.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"data.subject={pattern}: no regular expression ({error})") from error
    found = [expression.search(name) for name in names.tolist()]
    unmatched = [name for name, match in zip(names.tolist(), found, strict=True) if match is None]
    if unmatched:
        raise DataError(
            f"data.subject={pattern} finds nobody in {len(unmatched)} of {len(names)} names: {unmatched[0]}"
        )
    return np.array([match[1 if expression.groups else 0] or "" for match in found if match])
