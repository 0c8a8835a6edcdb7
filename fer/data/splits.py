"""Who trains and who is tested: official splits as they are, or subject-exclusive folds."""

import numpy as np

from fer.errors import DataError

VALIDATION_EVERY = 9  # one training subject in nine validates


def subject_fold_splits(subjects: np.ndarray, fold: int, folds: int) -> np.ndarray:
    """Split by subject: nobody stands on two sides.

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
            "subject, and a random split of frames would measure memory; use data with subjects, or data.folds=null "
            "with a split of its own"
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

    By subject where all training images have one; else every ninth image of each emotion, in table order.
    """
    splits = splits.copy()
    train = np.flatnonzero(splits == "train")
    people = np.unique(subjects[train])
    if len(people) > 1 and "" not in people:
        splits[train[np.isin(subjects[train], people[::VALIDATION_EVERY])]] = "val"
        return splits
    for emotion in np.unique(emotions[train]):
        splits[train[emotions[train] == emotion][::VALIDATION_EVERY]] = "val"
    return splits
