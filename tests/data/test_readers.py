from collections import Counter

import pytest

from fer.data.datasets import list_samples
from fer.data.sources import open_source
from fer.errors import DataError


@pytest.fixture
def listed(tmp_path, write_folder):
    """List files given by name only: readers look at names."""

    def run(*names):
        with open_source(write_folder(tmp_path / "download", dict.fromkeys(names, b""))) as source:
            return list_samples(source)

    return run


@pytest.mark.parametrize("kind", ["fer2013_zip", "fer2013_folder"])
def test_official_splits_of_fer2013_come_from_file_names(kind, request, fer2013_files):
    with open_source(request.getfixturevalue(kind)) as source:
        listing = list_samples(source)
    assert listing.layout == "class folders with FER2013 split prefixes"
    assert [sample.name for sample in listing.samples] == sorted(fer2013_files)
    assert Counter(sample.split for sample in listing.samples) == {"train": 77, "val": 14, "test": 21}
    for sample in listing.samples:
        folder, emotion, file = sample.name.split("/")
        usage = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}[sample.split]
        assert folder == ("train" if sample.split == "train" else "test")
        assert file.startswith(usage)
        assert sample.emotion == emotion
        assert sample.subject == ""
    assert listing.rejected == []


def test_subjects_of_ckplus_come_from_file_names(ckplus_zip, ckplus_files):
    with open_source(ckplus_zip) as source:
        listing = list_samples(source)
    assert listing.layout == "class folders with CK+ subject names"
    assert [sample.name for sample in listing.samples] == sorted(ckplus_files)
    assert {sample.split for sample in listing.samples} == {"all"}
    assert len({sample.subject for sample in listing.samples}) == 14
    for sample in listing.samples:
        assert sample.name.split("/")[-1].startswith(f"{sample.subject}_")


def test_synonyms_name_one_emotion(listed):
    emotions = {
        "Anger/1.png": "angry",
        "happiness/2.png": "happy",
        "joy/3.png": "happy",
        "3_sadness/4.png": "sad",
        "Surprised/5.png": "surprise",
        "afraid/6.png": "fear",
    }
    assert {sample.name: sample.emotion for sample in listed(*emotions).samples} == emotions


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("val", "val"),
        ("valid", "val"),
        ("validation", "val"),
        ("TEST", "test"),
        ("testing", "test"),
        ("faces", "all"),
    ],
)
def test_splits_of_other_folders(listed, folder, split):
    listing = listed(f"archive/{folder}/fear/7.jpeg", f"archive/{folder}/happy/8.BMP")
    assert listing.layout == "class folders"
    assert [(s.emotion, s.split, s.subject) for s in listing.samples] == [("fear", split, ""), ("happy", split, "")]


def test_a_path_that_names_two_emotions_is_left_out(listed):
    """`sad/Joy/1.png` may be a sad picture of Joy."""
    listing = listed("sad/Joy/1.png", "joy/03_happy/2.png", "fear/3.png")
    assert {sample.name: sample.emotion for sample in listing.samples} == {
        "joy/03_happy/2.png": "happy",
        "fear/3.png": "fear",
    }
    assert listing.rejected == [("sad/Joy/1.png", "folders of its path are named after sad and happy")]


def test_splits_have_many_names(listed):
    named = {"train_set": "train", "Test-Data": "test", "validation": "val", "testing_images": "test"}
    samples = listed(*(f"{folder}/happy/1.png" for folder in named)).samples
    assert {sample.name.split("/")[0]: sample.split for sample in samples} == named


def test_the_nearest_folder_names_the_split(listed):
    samples = listed("training_data/test/happy/1.png", "training_data/val/happy/2.png").samples
    assert {sample.split for sample in samples} == {"test", "val"}


def test_what_is_no_face_picture_is_left_out_with_the_reason(listed):
    listing = listed("happy/1.png", "README.txt", "happy/notes.csv", "unknown/2.png", "3.png")
    assert [sample.name for sample in listing.samples] == ["happy/1.png"]
    reasons = dict(listing.rejected)
    assert reasons.keys() == {"README.txt", "happy/notes.csv", "unknown/2.png", "3.png"}
    assert reasons["README.txt"] == reasons["happy/notes.csv"] == "not a picture"
    assert "emotion" in reasons["unknown/2.png"]
    assert "emotion" in reasons["3.png"]


def test_an_unknown_layout_is_told_with_what_was_found(listed):
    with pytest.raises(DataError, match=r"unknown layout in .*download.*angry.*found a/1\.png, a/2\.png, b/3\.png, …"):
        listed("a/1.png", "a/2.png", "b/3.png", "b/4.png")


def test_an_empty_folder(listed):
    with pytest.raises(DataError, match="found no file at all"):
        listed()


def test_a_mixed_source_is_no_pure_layout(listed):
    listing = listed("train/happy/Training_1.jpg", "train/happy/2.jpg")
    assert listing.layout == "class folders"
    assert {sample.split for sample in listing.samples} == {"train"}


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("Training", "PublicTest", "PrivateTest"), ("train", "val", "test")),
        (("training", "public_test", "Private Test"), ("train", "val", "test")),
        (("FER2013Train", "FER2013Valid", "FER2013Test"), ("train", "val", "test")),
        (("train", "dev", "eval"), ("train", "val", "test")),
        (("train", "eval", "test"), ("train", "val", "test")),
        (("train", "eval"), ("train", "test")),
        (("01_train", "02_validation", "03_holdout"), ("train", "val", "test")),
        (("Trainset", "valset", "Testset (1)"), ("train", "val", "test")),
        (("train_images", "test_images", "extra"), ("train", "test", "all")),
        (("train", "not_train", "train_test_split"), ("train", "all", "all")),
        (("train", "dev", "test", "eval"), ("train", "val", "test", "all")),
        (("trains", "vals", "tests"), ("train", "val", "test")),
        (("entrenamiento", "Validación", "pruebas"), ("train", "val", "test")),
        (("Entraînement", "validation", "hold-out_set"), ("train", "val", "test")),
        (("обучение", "тест"), ("train", "test")),
        (("训练集", "验证集", "测试集"), ("train", "val", "test")),
    ],
)
@pytest.mark.parametrize("path", ["{}/happy/1.png", "happy/{}/1.png", "set/{}/Happy_faces/1.png"])
def test_words_for_splits_and_pictures_of_none(listed, folders, splits, path):
    """A picture of an unknown split beside known ones is in none, so that it never trains."""
    names = [path.format(folder) for folder in folders]
    found = {sample.name: sample.split for sample in listed(*names).samples}
    assert [found[name] for name in names] == list(splits)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["day1/happy/1.png", "day1/sad/1.png", "day2/happy/1.png", "day2/sad/1.png"], True),
        (["faces/happy/a/1.png", "faces/happy/b/1.png", "faces/sad/a/1.png", "faces/sad/b/1.png"], False),
        (["one/happy/1.png", "one/sad/1.png", "two/happy/1.png"], False),
    ],
)
def test_folders_alike_that_name_no_split_are_told(names, told, listed, caplog):
    listed(*names)
    assert ("day1, day2 hold the same emotions and name no split" in caplog.text) == told


def test_folders_of_the_contest_are_its_official_split(listed):
    listing = listed(*(f"{folder}/sad/1.png" for folder in ("Training", "PublicTest", "PrivateTest")))
    assert listing.layout == "class folders with FER2013 split folders"
    assert listing.dataset == "fer2013"
    assert listed("train/sad/1.png", "test/sad/1.png").dataset is None


def test_folders_that_name_no_split_beside_some_that_do_are_told_with_their_number(listed, caplog):
    listing = listed("train/happy/1.png", "test/happy/2.png", "more/happy/3.png", "more/happy/4.png", "sad/5.png")
    assert {sample.name: sample.split for sample in listing.samples if sample.split == "all"} == {
        "more/happy/3.png": "all",
        "more/happy/4.png": "all",
        "sad/5.png": "all",
    }
    assert "name no split, beside folders that do: 3." in caplog.text
    assert "more/happy (2), sad (1)" in caplog.text


def test_names_of_files_give_the_split_where_no_folder_does(listed):
    names = {"happy/train_1.png": "train", "happy/test_2.png": "test", "sad/Validation3.png": "val"}
    assert {sample.name: sample.split for sample in listed(*names).samples} == names


def test_a_single_name_that_begins_as_a_split_does_not_make_one(listed):
    assert {sample.split for sample in listed("happy/test_1.png", "happy/Kim_2.png").samples} == {"all"}


def test_prefixes_of_the_contest_count_in_any_case_and_with_what_copies_add(listed):
    names = {"test/sad/publictest_5 (1).jpg": "val", "test/sad/PrivateTest_7_aug.png": "test"}
    assert {sample.name: sample.split for sample in listed(*names).samples} == names


def test_odd_class_folders_are_left_out_with_the_nearest_emotion(listed):
    reasons = dict(listed("happy/1.png", "Neural/2.png", "S010/3.png").rejected)
    assert reasons["Neural/2.png"].endswith("; Neural is near neutral")
    assert reasons["S010/3.png"] == "no folder of its path is named after an emotion"


@pytest.mark.parametrize(
    ("names", "hint"),
    [(["0/1.png", "1/2.png"], r"class folders are numbers \(0, 1\)"), (["Natural/1.png"], "Natural is near neutral")],
)
def test_an_unknown_layout_says_what_its_folders_may_be(listed, names, hint):
    with pytest.raises(DataError, match=hint):
        listed(*names)


def linked(folder, write_folder, files, links):
    """A folder of files and of links to them, as its listing."""
    write_folder(folder, dict.fromkeys(files, b""))
    for link, target in links.items():
        (folder / link).parent.mkdir(parents=True, exist_ok=True)
        (folder / link).symlink_to(folder / target)
    with open_source(folder) as source:
        return list_samples(source)


def test_links_to_a_pool_of_pictures_are_read_where_they_name_the_emotion(tmp_path, write_folder):
    pool = [f"all_images/{n}.png" for n in range(4)]
    links = {"train/happy/a.png": pool[0], "test/happy/b.png": pool[1], "train/sad/c.png": pool[2]}
    listing = linked(tmp_path / "pool", write_folder, pool, links)
    assert [(s.name, s.emotion, s.split) for s in listing.samples] == [
        ("test/happy/b.png", "happy", "test"),
        ("train/happy/a.png", "happy", "train"),
        ("train/sad/c.png", "sad", "train"),
    ]
    assert [name for name, _ in listing.rejected] == [pool[3]]


def test_links_to_sorted_pictures_are_read_where_they_name_the_split(tmp_path, write_folder):
    pool = [f"all/happy/{n}.png" for n in range(4)]
    links = {"train/happy/a.png": pool[0], "test/happy/b.png": pool[1], "test/sad/c.png": pool[2]}
    listing = linked(tmp_path / "pool", write_folder, pool, links)
    assert {sample.name: sample.split for sample in listing.samples} == {
        "all/happy/2.png": "all",
        "all/happy/3.png": "all",
        "test/happy/b.png": "test",
        "train/happy/a.png": "train",
    }
    assert dict(listing.rejected) == {
        "test/sad/c.png": "a link into all/happy, where the file is read itself, as happy"
    }


def test_links_to_what_is_read_already_are_told(tmp_path, write_folder):
    files = ["train/happy/1.png", "train/sad/2.png"]
    listing = linked(tmp_path / "own", write_folder, files, {"train/happy/a.png": files[0], "b.png": files[1]})
    assert [sample.name for sample in listing.samples] == files
    assert dict(listing.rejected) == {
        "train/happy/a.png": "a link into train/happy, where the file is read itself",
        "b.png": "a link into train/sad, where the file is read itself",
    }
