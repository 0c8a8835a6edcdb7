"""Attributes of people: `groups.csv` of a download, beside it or in the pack, and RAF-DB's own files."""

import logging

import numpy as np
import pytest

from fer.data.attributes import read_groups
from fer.data.build_pack import build_pack
from fer.data.datamodule import FERDataModule
from fer.data.pack import open_pack
from fer.errors import DataError

NAMES, SUBJECTS = np.array(["a/1.png", "a/2.png", "b/3.png"]), np.array(["S1", "S2", "S1"])


@pytest.mark.parametrize(
    "content",
    [
        b"name,Gender,age\na/1.png,female,20-39\na/2.png,male,\nb/3.png,female,70+\n",
        "\ufeffname;gender;age\na/1.png;female;20-39\na/2.png; male ;\nb/3.png;female;70+\nother;male;1\n".encode(),
    ],
)
def test_attributes_by_image(content):
    groups = read_groups(content, NAMES, SUBJECTS, "groups.csv")
    assert {name: column.tolist() for name, column in groups.items()} == {
        "gender": ["female", "male", "female"],
        "age": ["20-39", "", "70+"],
    }


def test_attributes_by_person(caplog):
    with caplog.at_level(logging.WARNING):
        groups = read_groups(b"subject,gender\nS1,female\n", NAMES, SUBJECTS, "groups.csv")
    assert groups["gender"].tolist() == ["female", "", "female"]
    assert "says nothing of 1 of 3 images" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"image,gender\na/1.png,male\n", "its header is to be `name`"),
        (b"name\na/1.png\n", "its header is to be `name`"),
        (b"name,gender\n1.png,male\n", "it has '1.png', they 'a/1.png'"),
        (b"name,gender\na/1.png,male,old\n", "line 2 has 3 fields, its header 2"),
        (b"name,gender\na/1.png,male\na/1.png,female\n", "line 3: a/1.png is there twice"),
        (b"subject,gender\nS9,male\n", "it has 'S9', they 'S1'"),
        (b"<!DOCTYPE html><html></html>", "page"),
    ],
)
def test_other_tables_are_one_line(content, words):
    with pytest.raises(DataError, match=words) as error:
        read_groups(content, NAMES, SUBJECTS, "groups.csv")
    assert "\n" not in str(error.value)


def test_numbers_are_no_groups(caplog):
    names = np.array([str(n) for n in range(40)])
    content = "name,age,sex\n" + "".join(f"{n},{n},{'mf'[int(n) % 2]}\n" for n in names)
    with caplog.at_level(logging.WARNING):
        groups = read_groups(content.encode(), names, np.full(40, ""), "groups.csv")
    assert list(groups) == ["sex"]
    assert "age has 40 different values" in caplog.text


def table(names):
    return (
        "name,gender\n" + "".join(f"{name},{'female' if i % 2 else 'male'}\n" for i, name in enumerate(names))
    ).encode()


def test_groups_within_and_beside_a_download_reach_the_pack(tmp_path, fer2013_files, write_folder, write_zip, caplog):
    names = sorted(fer2013_files)
    inside = write_folder(tmp_path / "in", fer2013_files | {"groups.csv": table(names)})
    beside = write_zip(tmp_path / "out" / "fer.zip", fer2013_files) if (tmp_path / "out").mkdir() is None else None
    (tmp_path / "out" / "groups.csv").write_bytes(table(names))
    for source in (inside, beside):
        with caplog.at_level(logging.INFO):
            pack = open_pack(build_pack(tmp_path / "packs", source.name.replace(".", ""), str(source)))
        assert pack.groups["gender"].tolist() == ["female" if names.index(n) % 2 else "male" for n in pack.names]
        assert "groups: gender: female 56, male 56" in caplog.text
        assert pack.manifest["rejected"] == []
        caplog.clear()


def test_groups_put_into_a_pack_stay_when_it_is_made_again(tmp_path, fer2013_zip):
    folder = build_pack(tmp_path, "fer2013", str(fer2013_zip))
    digest = open_pack(folder).manifest["sha256"]
    (folder / "groups.csv").write_bytes(table(open_pack(folder).names))
    assert set(open_pack(folder).groups) == {"gender"}
    build_pack(tmp_path, "fer2013", str(fer2013_zip))
    assert set(open_pack(folder).groups) == {"gender"}
    assert open_pack(folder).manifest["sha256"] == digest


def test_a_mistake_is_told_before_training(tmp_path, fer2013_zip):
    folder = build_pack(tmp_path, "fer2013", str(fer2013_zip))
    (folder / "groups.csv").write_text("picture,gender\n1,male\n")
    with pytest.raises(DataError, match=r"groups\.csv begins with 'picture,gender'"):
        FERDataModule("fer2013", root=str(tmp_path)).setup()


def test_rafdb_says_gender_race_and_age(tmp_path, write_folder, picture):
    landmarks = "".join(f"{10 * k}.5\t{20 + k}.25\n" for k in range(5))
    files = {f"basic/Image/aligned/{n}_aligned.jpg": picture(k) for k, n in enumerate(("train_00001", "test_0001"))}
    files |= {"basic/EmoLabel/list_patition_label.txt": b"train_00001.jpg 5\ntest_0001.jpg 7\n"}
    where = "basic/Annotation/manual/{}_manu_attri.txt"
    files |= {where.format("train_00001"): f"{landmarks}1\n2\n4\n".encode()}
    files |= {where.format("test_0001"): f"{landmarks}2\n0\n1\n".encode()}
    source = write_folder(tmp_path / "raf", files)
    pack = open_pack(build_pack(tmp_path, "rafdb", str(source)))
    of = dict(zip(pack.names.tolist(), zip(*pack.groups.values(), strict=True), strict=True))
    assert list(pack.groups) == ["gender", "race", "age"]
    assert of["basic/Image/aligned/train_00001_aligned.jpg"] == ("female", "Asian", "70+")
    assert of["basic/Image/aligned/test_0001_aligned.jpg"] == ("", "Caucasian", "4-19")
    assert pack.manifest["rejected"] == []
    (source / where.format("test_0001")).write_text("1\n2\n")
    with pytest.raises(DataError, match="five landmarks"):
        build_pack(tmp_path, "other", str(source))
