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
