"""Differences are between rows tested on the same images, and said in words that hold."""

import csv

import pytest

from fer.comparison.groups import group_runs
from fer.comparison.pairs import ALL_PAIRS, Difference, accuracies_of, compare_all, in_words
from fer.comparison.statistics import Estimate
from fer.runs.finished import find_runs


def compared(folder):
    return compare_all(group_runs(find_runs([folder])[0])[0], 2000)


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
    assert "favours it" in remarks[0]


def test_one_seed_has_the_interval_of_its_own_report(run_folder, tmp_path):
    run_folder(tmp_path / "a")
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
        (Estimate(0.012, 0.003, 0.021, 0.001), 0.003, "A is better than B by 1.2 points [0.3, 2.1]"),
        (Estimate(0.002, -0.009, 0.013, 0.6), 1.0, "no difference shown between A and B (0.2 points [-0.9, 1.3])"),
        (Estimate(0.01, -0.0001, 0.02, 0.051), 0.1, "no difference shown between A and B (1.0 point [0.0, 2.0])"),
        (
            Estimate(0.012, 0.001, 0.023, 0.03),
            0.09,
            "no difference shown between A and B (1.2 points [0.1, 2.3]); alone it would count, among so many "
            "comparisons it does not",
        ),
    ],
)
def test_differences_in_words(run_folder, tmp_path, estimate, p_holm, words):
    run_folder(tmp_path / "a", backbone="A")
    run_folder(tmp_path / "b", backbone="B", ability=0)
    groups, _ = group_runs(find_runs([tmp_path])[0])
    first, second = sorted(groups, key=lambda group: group.model)
    assert in_words(Difference(first, second, estimate, 300, None, p_holm)) == words


def test_a_mean_of_more_runs_than_are_known_image_by_image_has_no_interval(run_folder, tmp_path):
    for seed in range(3):
        run_folder(tmp_path / str(seed), seed=seed)
    (tmp_path / "1" / "predictions.csv").unlink()
    assert accuracies_of(group_runs(find_runs([tmp_path])[0])[0]) == [None]


def test_many_comparisons_have_draws_enough_to_show_something(run_folder, tmp_path):
    for data in range(10):
        for backbone, ability in (("resnet18", 0.0), ("resnet50", 4.0)):
            folder = tmp_path / f"{data}{backbone}"
            run_folder(folder, backbone=backbone, data=f"set{data}", ability=ability, images=100)
    differences, _ = compare_all(group_runs(find_runs([tmp_path])[0])[0], resamples=100)
    assert len(differences) == 10
    assert all(difference.shown for difference in differences)
