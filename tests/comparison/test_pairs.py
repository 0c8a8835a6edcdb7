"""Differences are between rows tested on the same images, and said in words that hold."""

import csv
from pathlib import Path

import numpy as np
import pytest

from fer.comparison.groups import Group, group_runs
from fer.comparison.pairs import ALL_PAIRS, Difference, accuracies_of, compare_all, in_words
from fer.comparison.statistics import Estimate
from fer.evaluation.intervals import accuracy_interval
from fer.runs.finished import Run, find_runs
from fer.runs.tables import Predictions


def compared(folder):
    return compare_all(group_runs(find_runs([folder])[0])[0])


def test_pairs_stay_within_a_data_set(sweep):
    differences, remarks = compared(sweep)
    assert len(differences) == 6
    assert all(d.first.data == d.second.data for d in differences)
    assert {d.subjects for d in differences if d.first.data == "ckplus"} == {40}
    assert {d.subjects for d in differences if d.first.data == "fer2013"} == {None}
    best = differences[1]
    assert (best.first.model, best.second.model, best.seeds) == ("ResNet-50", "ResNet-18", (3, 3))
    assert best.shown
    assert best.p_holm >= best.estimate.p
    assert remarks == []


def test_the_value_is_the_difference_of_the_means(sweep):
    for d in compared(sweep)[0]:
        accuracies = [group.mean("test/accuracy") for group in (d.first, d.second)]
        assert d.estimate.value == pytest.approx(accuracies[0] - accuracies[1])
        assert d.estimate.low < d.estimate.value < d.estimate.high


def test_other_images_are_not_compared(run_folder, tmp_path):
    run_folder(tmp_path / "a")
    other = run_folder(tmp_path / "b", backbone="resnet50.a1_in1k")
    text = (other / "predictions.csv").read_text()
    (other / "predictions.csv").write_text(text.replace("/0", "/1"))
    differences, remarks = compared(tmp_path)
    assert differences == []
    assert len(remarks) == 1
    assert remarks[0].endswith("were tested on different images")


def test_rows_with_other_images_too_are_compared_on_the_common_ones(run_folder, tmp_path):
    run_folder(tmp_path / "a")
    other = run_folder(tmp_path / "b", backbone="resnet50.a1_in1k")
    with (other / "predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    with (other / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows[:201][:1] + list(reversed(rows[1:201])))  # fewer, in another order
    (difference,), remarks = compared(tmp_path)
    assert difference.images == 200
    assert "compared on the 200 test images" in remarks[0]
    assert "(the runs have 200 and 300)" in remarks[0]


def test_networks_that_were_trained_otherwise_too_are_told_so(run_folder, tmp_path):
    run_folder(tmp_path / "a")
    run_folder(tmp_path / "b", backbone="resnet50.a1_in1k", settings={"optimizer.lr": 0.1})
    assert [remark.partition(" differ in ")[2] for remark in compared(tmp_path)[1]] == [
        "optimizer.lr too, not in the network alone"
    ]


def test_many_rows_are_each_compared_with_the_best(run_folder, tmp_path):
    for number in range(ALL_PAIRS + 1):
        run_folder(tmp_path / str(number), backbone=f"resnet{number}", ability=1 + number / 10, images=100)
    differences, remarks = compared(tmp_path)
    assert len(differences) == ALL_PAIRS
    assert len({d.first.model for d in differences}) == 1
    assert "corrected for all 21 pairs" in remarks[0]
    best = min(differences, key=lambda d: d.estimate.p)
    assert best.p_holm == pytest.approx(min(1, 21 * best.estimate.p))


def test_one_seed_has_the_interval_of_its_answers(run_folder, tmp_path):
    run_folder(tmp_path / "a")
    groups, _ = group_runs(find_runs([tmp_path])[0])
    (estimate,) = accuracies_of(groups)
    predictions = groups[0].runs[0].predictions
    correct = predictions.labels == predictions.predicted
    assert [estimate.low, estimate.high] == accuracy_interval(correct, predictions.subjects)


def test_one_seed_without_predictions_has_the_interval_of_its_metrics(run_folder, tmp_path):
    (run_folder(tmp_path / "a") / "predictions.csv").unlink()
    groups, _ = group_runs(find_runs([tmp_path])[0])
    (estimate,) = accuracies_of(groups)
    assert [estimate.low, estimate.high] == groups[0].runs[0].metrics["test/accuracy_ci95"]


def test_two_seeds_borrow_their_spread_from_the_rows_beside_them(run_folder, tmp_path):
    for depth in range(4):
        for seed in range(2):
            run_folder(tmp_path / f"{depth}-{seed}", backbone=f"resnet{depth}", seed=seed, ability=1 + 0.4 * seed)
    groups, _ = group_runs(find_runs([tmp_path])[0])
    together = accuracies_of(groups)
    alone = [accuracies_of([group])[0] for group in groups]
    assert [e.value for e in together] == [e.value for e in alone]
    assert max(e.high - e.low for e in together) < max(e.high - e.low for e in alone)


@pytest.mark.parametrize(
    ("estimate", "p_holm", "words"),
    [
        (Estimate(0.012, 0.003, 0.021, 0.001), 0.003, "{A} better than {B} by 1.2 points [0.3, 2.1]"),
        (Estimate(0.002, -0.009, 0.013, 0.6), 1.0, "no difference shown between {a} and {B} (0.2 points [-0.9, 1.3])"),
        (Estimate(0.01, -0.0001, 0.02, 0.051), 0.1, "no difference shown between {a} and {B} (1.0 point [0.0, 2.0])"),
        (
            Estimate(0.012, 0.001, 0.023, 0.03),
            0.09,
            "no difference shown between {a} and {B} (1.2 points [0.1, 2.3]); alone it would count, among so many "
            "comparisons it does not",
        ),
    ],
)
@pytest.mark.parametrize(
    ("seeds", "named"),
    [
        ((2, 2), {"a": "A", "A": "A is", "B": "B"}),
        ((1, 1), {"a": "this trained A", "A": "this trained A is", "B": "this trained B"}),
        ((2, 1), {"a": "these 2 trained A", "A": "these 2 trained A are", "B": "this trained B"}),
    ],
)
def test_differences_in_words(estimate, p_holm, words, seeds, named):
    nothing = [np.ones(4, bool)]
    first, second = (row(name, nothing * count) for name, count in zip("AB", seeds, strict=True))
    assert in_words(Difference(first, second, estimate, 300, None, p_holm)) == words.format(**named)


def row(model, answers, data="made up"):
    """A row of the comparison whose seeds answer so.

    Args:
        model: its name.
        answers: whether each seed is right on each image, bool [N] each.
        data: name of the data set.
    """
    runs = []
    for seed, right in enumerate(answers):
        names, labels = np.arange(len(right)).astype(str), np.full(len(right), "happy")
        predicted, nothing = np.where(right, "happy", "sad"), np.zeros(len(right))
        shares = np.stack([right, np.logical_not(right)], axis=1).astype(float)
        predictions = Predictions(["happy", "sad"], names, labels, predicted, nothing, shares)
        metrics = {"test/accuracy": float(np.mean(right))}
        runs.append(Run(Path(model), f"{model}{seed}", {"seed": seed}, metrics, predictions))
    return Group(model, model, data, data, ["happy", "sad"], runs, {})


def test_a_large_difference_is_shown_with_one_seed_on_a_side():
    """The two seeds differ by chance as much as seeds can; these trained networks are no less different."""
    generator = np.random.default_rng(0)
    one = [generator.random(300) < 0.93]
    two = [generator.random(300) < share for share in (0.263, 0.063)]
    ((difference,), _) = compare_all([row("A", one), row("B", two)])
    assert difference.shown
    assert in_words(difference).startswith("this trained A is better than these 2 trained B by 7")


def false_claims(rows, seeds, spread, experiments, images=500):
    """How often a page of equal rows says that any two differ; the latent model of `test_statistics`."""
    generator = np.random.default_rng(rows)
    claimed = 0
    for _ in range(experiments):
        hardness = 0.9 + generator.normal(0, 1.5, images)
        groups = []
        for number in range(rows):
            latent = hardness + generator.normal(0, 0.5, images) + generator.normal(0, 1, (seeds, images))
            groups.append(row(str(number), latent + generator.normal(0, spread, (seeds, 1)) > 0))
        claimed += any(difference.shown for difference in compare_all(groups)[0])
    return claimed / experiments


@pytest.mark.parametrize(("rows", "seeds", "spread"), [(2, 1, 0.0), (12, 1, 0.0), (8, 3, 0.1)])
def test_false_claims_do_not_grow_with_the_page(rows, seeds, spread):
    """Counting the comparisons with the best row alone claims 11 % at 7 rows and 22 % at 20."""
    assert false_claims(rows, seeds, spread, 50 if seeds == 1 else 20) <= 0.12


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 0.0), (3, 0.1)])
@pytest.mark.parametrize("rows", [2, 4, 7, 12, 20])
def test_false_claims_do_not_grow_with_the_page_in_many_experiments(rows, seeds, spread):
    """Two standard errors of 1,000 experiments are 1.4 points."""
    assert false_claims(rows, seeds, spread, 1000) <= 0.06 + 0.014


def test_a_mean_of_more_runs_than_are_known_image_by_image_has_no_interval(run_folder, tmp_path):
    for seed in range(3):
        run_folder(tmp_path / str(seed), seed=seed)
    (tmp_path / "1" / "predictions.csv").unlink()
    assert accuracies_of(group_runs(find_runs([tmp_path])[0])[0]) == [None]
