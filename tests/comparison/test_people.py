"""Comparisons know groups of people and groups of duplicates."""

import csv

import numpy as np
import pytest

from fer.comparison.compare import compare
from fer.comparison.groups import group_runs
from fer.comparison.pairs import accuracies_of, compare_all
from fer.runs.finished import find_runs


def told(folder, column, values):
    names = [row["name"] for row in csv.DictReader((folder / "predictions.csv").open())]
    file = "photographs.csv" if column == "photograph" else "groups.csv"
    lines = [f"{name},{values[index % len(values)]}" for index, name in enumerate(names)]
    (folder / file).write_text("\n".join([f"name,{column}", *lines]) + "\n")


@pytest.fixture
def rows(run_folder, tmp_path):
    return [run_folder(tmp_path / f"resnet{n}", backbone=f"resnet{n}.a1_in1k", ability=1 + n / 100) for n in (18, 34)]


def test_a_comparison_shows_accuracy_by_groups(rows, tmp_path, run_folder):
    for folder in rows:
        told(folder, "gender", ["female", "male", "female"])
    compare(rows, tmp_path / "out", measure=False)
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "Groups of people" in text
    assert "ResNet-18 on fer2013: gender, accuracy: " in text
    table = list(csv.DictReader((tmp_path / "out" / "groups.csv").open()))
    assert [(row["model"], row["group"], row["images"]) for row in table] == [
        (model, group, images)
        for model in ("ResNet-18", "ResNet-34")
        for group, images in (("female", "200"), ("male", "100"))
    ]
    assert all(float(row["low"]) < float(row["accuracy"]) < float(row["high"]) for row in table)


def test_groups_are_left_out_where_nobody_knows_them(rows, tmp_path):
    compare(rows, tmp_path / "out", measure=False)
    assert "Groups of people" not in (tmp_path / "out" / "comparison.md").read_text()
    assert not (tmp_path / "out" / "groups.csv").exists()


def test_duplicates_are_sampled_together(rows):
    """Each photograph ten times over: intervals are those of a tenth of the images, not of all."""

    def estimates():
        groups, _ = group_runs(find_runs([str(folder) for folder in rows])[0])
        return accuracies_of(groups)[0], compare_all(groups)[0][0].estimate

    alone = estimates()
    for folder in rows:
        lines = (folder / "predictions.csv").read_text().splitlines()
        order = np.argsort([line.split(",")[1] == line.split(",")[2] for line in lines[1:]], kind="stable")
        names = [lines[1:][k].split(",")[0] for k in order]  # ten of one photograph are right or wrong together
        if folder == rows[0]:
            photographs = {name: index // 10 for index, name in enumerate(names)}
        text = "".join(f"{line.split(',')[0]},{photographs[line.split(',')[0]]}\n" for line in lines[1:])
        (folder / "photographs.csv").write_text("name,photograph\n" + text)
    together = estimates()
    assert together[0].high - together[0].low > 2 * (alone[0].high - alone[0].low)
    assert together[0].value == alone[0].value
    assert together[1].error > alone[1].error
    assert together[1].value == alone[1].value
