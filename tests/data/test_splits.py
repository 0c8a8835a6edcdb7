import numpy as np
import pytest

from fer.data.build_pack import build_pack
from fer.data.datamodule import FERDataModule
from fer.data.splits import held_out, named_subjects, subject_fold_splits, with_validation
from fer.errors import ConfigError, DataError

PEOPLE = 23


@pytest.fixture(scope="module")
def subjects():
    """A few images of each of 23 people, shuffled."""
    generator = np.random.default_rng(0)
    people = np.array([f"S{number:03d}" for number in generator.permutation(500)[:PEOPLE]])
    return generator.permutation(np.repeat(people, generator.integers(1, 9, PEOPLE)))


@pytest.mark.parametrize("folds", [2, 5, 10, PEOPLE])
def test_nobody_is_on_two_sides_and_everybody_is_tested_once(subjects, folds):
    tested = []
    for fold in range(folds):
        splits = subject_fold_splits(subjects, fold, folds)
        sides = {split: set(subjects[splits == split]) for split in ("train", "val", "test")}
        assert sum(map(len, sides.values())) == PEOPLE  # so the sides are disjoint, and complete
        assert all(sides.values())
        assert set(splits) == sides.keys()
        tested += sides["test"]
    assert sorted(tested) == sorted(set(subjects))


@pytest.mark.parametrize("fold", range(10))
def test_the_common_rule_position_among_sorted_subjects_modulo_folds(subjects, fold):
    splits = subject_fold_splits(subjects, fold, 10)
    expected = [person for position, person in enumerate(sorted(set(subjects))) if position % 10 == fold]
    assert sorted(set(subjects[splits == "test"])) == expected


def test_about_one_in_nine_of_the_others_validates(subjects):
    for fold in range(10):
        splits = subject_fold_splits(subjects, fold, 10)
        others = len(set(subjects[splits != "test"]))
        assert others // 9 <= len(set(subjects[splits == "val"])) <= -(-others // 9)


def test_the_order_of_images_does_not_matter(subjects):
    order = np.random.default_rng(1).permutation(len(subjects))
    for fold in range(5):
        shuffled = subject_fold_splits(subjects[order], fold, 5)
        assert (shuffled == subject_fold_splits(subjects, fold, 5)[order]).all()


def test_images_without_a_subject_are_not_folded(subjects):
    some = subjects.copy()
    some[:3] = ""
    with pytest.raises(DataError, match=f"3 of {len(some)} images have no subject"):
        subject_fold_splits(some, 0, 10)


@pytest.mark.parametrize("fold", [-1, 10, 11])
def test_a_fold_out_of_range(subjects, fold):
    with pytest.raises(DataError, match=rf"data\.fold={fold}: .* folds are 0 to 9"):
        subject_fold_splits(subjects, fold, 10)


@pytest.mark.parametrize("folds", [-1, 0, 1, PEOPLE + 1])
def test_a_number_of_folds_that_cannot_be_made(subjects, folds):
    with pytest.raises(DataError, match=rf"data\.folds={folds}: between 2 and {PEOPLE}"):
        subject_fold_splits(subjects, 0, folds)


def official(count):
    splits = np.array(["train"] * count + ["test"] * 10)
    emotions = np.array(["happy", "sad"])[np.arange(len(splits)) % 2]
    return splits, emotions


def test_without_subjects_a_ninth_of_each_emotion_validates():
    splits, emotions = official(90)
    chosen = with_validation(splits, emotions, np.full(100, ""))
    for emotion in ("happy", "sad"):
        assert (emotions[chosen == "val"] == emotion).sum() == 5
        assert (emotions[chosen == "train"] == emotion).sum() == 40
        of_emotion = chosen[(splits == "train") & (emotions == emotion)]
        assert (of_emotion[-5:] == "val").all()  # a block: neighbours by name may be frames of one recording
    assert (splits == "train").sum() == 90  # what was given is not changed


def test_with_subjects_a_ninth_of_the_people_validates():
    splits, emotions = official(90)
    subjects = np.array([f"p{number // 5:02d}" for number in range(100)])
    chosen = with_validation(splits, emotions, subjects)
    assert len(set(subjects[chosen == "val"])) == 2
    assert not set(subjects[chosen == "val"]) & set(subjects[chosen == "train"])


@pytest.mark.parametrize("known", [True, False])
def test_the_test_split_stays_as_it_is(known):
    splits, emotions = official(45)
    subjects = np.array([f"p{number}" if known else "" for number in range(55)])
    chosen = with_validation(splits, emotions, subjects)
    assert ((chosen == "test") == (splits == "test")).all()


def test_of_data_with_neither_split_nor_people_the_last_of_each_emotion_are_held_out():
    emotions = np.array(["happy"] * 100 + ["sad"] * 20 + ["fear"] * 3 + ["angry"] * 2)
    chosen = held_out(np.full(125, "all"), emotions)
    counts = {
        emotion: [int((chosen[emotions == emotion] == split).sum()) for split in ("train", "val", "test")]
        for emotion in ("happy", "sad", "fear", "angry")
    }
    assert counts == {"happy": [80, 10, 10], "sad": [16, 2, 2], "fear": [1, 1, 1], "angry": [2, 0, 0]}
    happy = chosen[:100].tolist()
    assert happy == ["train"] * 80 + ["val"] * 10 + ["test"] * 10  # blocks: neighbours may be frames of one recording


def test_a_validation_split_of_its_own_is_kept():
    splits = np.array(["train"] * 20 + ["val"] * 5)
    chosen = held_out(splits, np.full(25, "happy"))
    assert chosen.tolist() == ["train"] * 18 + ["test"] * 2 + ["val"] * 5


def test_pictures_of_no_split_do_not_train_beside_others(tmp_path, picture, write_folder, caplog):
    folders = {"train": 24, "PublicTest": 4, "PrivateTest": 4, "leftover": 5}
    for kept in (folders, {"train": 24, "leftover": 5}):
        names = [
            f"{folder}/{emotion}/{n}.png"
            for folder in kept
            for emotion in ("happy", "sad")
            for n in range(kept[folder])
        ]
        source = write_folder(tmp_path / f"of{len(kept)}", {name: picture(i, (8, 8)) for i, name in enumerate(names)})
        module = FERDataModule("own", pack=f"of{len(kept)}", source=str(source), root=str(tmp_path / "packs"))
        module.prepare_data()
        module.setup()
        used = {name for rows in module.splits.values() for name in module.pack.names[rows]}
        assert used == {name for name in names if not name.startswith("leftover")}
        assert f"10 of {len(names)} images of own are in no split" in caplog.text
        assert {name.split("/")[0] for name in module.pack.names[module.splits["train"]]} == {"train"}


def test_data_whose_folders_name_a_test_split_only_do_not_train_on_the_rest(tmp_path, picture, write_folder):
    names = [f"{folder}happy/{n}.png" for folder in ("", "test/") for n in range(3)]
    source = write_folder(tmp_path / "source", {name: picture(i, (8, 8)) for i, name in enumerate(names)})
    module = FERDataModule("own", source=str(source), root=str(tmp_path / "packs"), default_classes=["happy", "sad"])
    module.prepare_data()
    with pytest.raises(DataError, match="name folders train and test"):
        module._choose_splits(module._open_pack())


NAMES = np.array(["faces/happy/KA.HA1.29.tiff", "faces/sad/KL.SA2.5.tiff", "faces/happy/KA.HA2.30.tiff"])


@pytest.mark.parametrize(
    ("pattern", "people"),
    [(r"([A-Z]+)[.]", ["KA", "KL", "KA"]), ("K.", ["KA", "KL", "KA"]), (r"\.(?:HA|SA)(\d)", ["1", "2", "2"])],
)
def test_people_are_found_in_names(pattern, people):
    assert named_subjects(NAMES, pattern).tolist() == people


def test_a_name_without_a_person_is_told():
    with pytest.raises(DataError, match=r"data\.subject=KA finds nobody in 1 of 3 names: faces/sad/KL\.SA2\.5\.tiff"):
        named_subjects(NAMES, "KA")


def test_no_pattern_is_told():
    with pytest.raises(ConfigError, match=r"data\.subject=\(: no regular expression"):
        named_subjects(NAMES, "(")


def test_what_one_may_not_know_of_splits_of_ones_own_is_told(tmp_path, write_folder, picture, caplog):
    files = {
        f"{split}/{emotion}/P{person}_{number}.png": picture(hash((split, emotion, person, number)) % 10_000)
        for split, people in (("train", (1, 2, 3)), ("val", (4,)), ("test", (3, 5)))
        for emotion in ("happy", "sad")
        for person in people
        for number in range(2)
    }
    files |= {f"fear/{number}_P9.png": picture(number) for number in range(5)}
    build_pack(tmp_path, "fer2013_mine", str(write_folder(tmp_path / "source", files)))
    module = FERDataModule("fer2013_mine", root=str(tmp_path), subject="(P[0-9])")
    module.setup()
    assert "5 of 29 images of fer2013_mine are in no split: they are left out" in caplog.text
    assert "1 people of fer2013_mine are in more than one split" in caplog.text
    assert "no training image of fear, which cannot be learned" in caplog.text
    assert "compares with no published one" in caplog.text
    assert sum(len(rows) for rows in module.splits.values()) == 24


def test_a_single_training_image_trains():
    splits = with_validation(
        np.array(["train"] * 10 + ["test"]), np.array(["happy"] * 9 + ["sad", "sad"]), np.array([""] * 11)
    )
    assert splits.tolist() == [*["train"] * 8, "val", "train", "test"]
