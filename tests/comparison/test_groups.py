"""Rows are what differs in more than the seed, by the shortest name that tells them apart."""

import json
import os

import pytest

from fer.comparison.groups import group_runs, mixed_code
from fer.comparison.pairs import compare_all
from fer.runs.finished import find_runs


def grouped(folder):
    return group_runs(find_runs([folder])[0])


def names(folder):
    return [(group.model, group.data, len(group.runs)) for group in grouped(folder)[0]]


def test_seeds_are_one_row(sweep):
    assert names(sweep) == [
        (f"ResNet-{depth}", data, 3) for data in ("ckplus", "fer2013") for depth in (18, 34, 50)
    ]  # fmt: skip


def test_means_and_spreads_are_over_seeds(run_folder, tmp_path):
    for seed in range(3):
        run_folder(tmp_path / str(seed), seed=seed)
    (group,), _ = grouped(tmp_path)
    assert group.mean("test/ece") == pytest.approx(0.051)
    assert group.spread("test/ece") == pytest.approx(0.001)
    assert group.mean("no/such") is group.spread("no/such") is None


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({"model.weights": "imagenet"}, ["ResNet-18 (weights=imagenet)", "ResNet-18 (weights=none)"]),
        ({"optimizer.lr": 0.01, "trainer.max_epochs": 9}, ["ResNet-18 (lr=0.001)", "ResNet-18 (lr=0.01)"]),
        (
            {"freeze": {"_target_": "fer.training.freeze.gradual", "every": 0.1}},
            ["ResNet-18", "ResNet-18 (freeze=gradual)"],
        ),
        ({"model.weights": "outputs/a/resnet18_fer2013_seed4"}, ["ResNet-18 (weights=none)",
                                                                 "ResNet-18 (weights=resnet18_fer2013_seed*)"]),
    ],
)  # fmt: skip
def test_what_sets_runs_apart_gives_the_name(run_folder, tmp_path, settings, labels):
    run_folder(tmp_path / "a")
    run_folder(tmp_path / "b", settings=settings)
    assert sorted(group.model for group in grouped(tmp_path)[0]) == labels


def test_what_differs_between_data_sets_alone_is_no_part_of_the_name(run_folder, tmp_path):
    run_folder(tmp_path / "a", data="fer2013", settings={"data.image_size": 96})
    run_folder(tmp_path / "b", data="ckplus", settings={"data.image_size": 224})
    assert names(tmp_path) == [("ResNet-18", "ckplus", 1), ("ResNet-18", "fer2013", 1)]


def test_where_a_run_ran_does_not_matter(run_folder, tmp_path):
    run_folder(tmp_path / "a")
    run_folder(tmp_path / "b", seed=1, settings={"trainer.accelerator": "gpu", "data.root": "/elsewhere"})
    assert names(tmp_path) == [("ResNet-18", "fer2013", 2)]


def test_figures_and_what_is_shown_do_not_matter(run_folder, tmp_path):
    run_folder(tmp_path / "a", settings={"figures": True, "callbacks.progress.refresh_rate": 10})
    run_folder(tmp_path / "b", seed=1, settings={"figures": False, "callbacks.progress": None})
    assert names(tmp_path) == [("ResNet-18", "fer2013", 2)]


@pytest.mark.parametrize(
    "settings",
    [{"callbacks.early_stopping.patience": 1}, {"callbacks.best.monitor": "val/loss"}, {"lr_find": True},
     {"trainer.devices": 2}],
)  # fmt: skip
def test_what_changes_the_training_is_another_row(run_folder, tmp_path, settings):
    run_folder(tmp_path / "a")
    run_folder(tmp_path / "b", settings=settings)
    groups, remarks = grouped(tmp_path)
    assert len({group.model for group in groups}) == 2
    assert remarks == []


def test_folds_are_counted_by_the_result_not_by_what_is_left_of_them(run_folder, tmp_path):
    for seed in range(2):
        folder = run_folder(tmp_path / str(seed), data="ckplus", seed=seed, settings={"data.folds": 10, "folds": "all"})
        metrics = json.loads((folder / "metrics.json").read_text())
        metrics["folds"] = [{"fold": fold} for fold in range(10)]
        (folder / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "1" / "fold4").mkdir()
    assert names(tmp_path) == [("ResNet-18", "ckplus, 10 folds", 2)]


def test_other_pretrained_weights_of_one_network_are_named(run_folder, tmp_path):
    run_folder(tmp_path / "a", backbone="resnet18.a1_in1k")
    run_folder(tmp_path / "b", backbone="resnet18.fb_swsl_ig1b_ft_in1k")
    assert sorted(name for name, *_ in names(tmp_path)) == ["ResNet-18.a1_in1k", "ResNet-18.fb_swsl_ig1b_ft_in1k"]


def test_classes_and_their_arguments_tell_runs_apart(run_folder, tmp_path):
    """An argument that only one class takes must not hide that two runs of that class differ."""
    run_folder(tmp_path / "a", settings={"freeze": {"_target_": "x.Gradual", "every": 0.1}})
    run_folder(tmp_path / "b", settings={"freeze": {"_target_": "x.Gradual", "every": 0.2}})
    run_folder(tmp_path / "c", settings={"freeze": {"_target_": "x.FreezeSchedule", "trainable": {0: "all"}}})
    assert sorted(name for name, *_ in names(tmp_path)) == [
        "ResNet-18", "ResNet-18 (freeze.every=0.1)", "ResNet-18 (freeze.every=0.2)",
    ]  # fmt: skip


def test_rows_never_share_a_name(run_folder, tmp_path):
    for name in ("a", "b"):
        run_folder(tmp_path / name, settings={"model.weights": f"{name}/run/checkpoints/best.ckpt"})
    assert [name for name, *_ in names(tmp_path)] == ["ResNet-18 (weights=run)", "ResNet-18 (weights=run) #2"]


def test_folds_and_class_sets_are_other_tests(run_folder, tmp_path):
    run_folder(tmp_path / "a", data="ckplus", settings={"data.folds": 10, "data.fold": 0})
    run_folder(tmp_path / "b", data="ckplus", settings={"data.folds": 10, "data.fold": 1})
    run_folder(tmp_path / "c", data="fer2013")
    run_folder(tmp_path / "d", data="fer2013", classes=["happy", "sad"])
    assert [data for _, data, _ in names(tmp_path)] == [
        "ckplus, fold 0", "ckplus, fold 1", "fer2013, 2 classes", "fer2013, 7 classes",
    ]  # fmt: skip


def test_a_seed_run_twice_counts_once(run_folder, tmp_path):
    old, new = run_folder(tmp_path / "old"), run_folder(tmp_path / "new")
    os.utime(old / "metrics.json", (1, 1))
    groups, remarks = grouped(tmp_path)
    assert [run.folder for group in groups for run in group.runs] == [new.resolve()]
    assert remarks == ["old has the configuration and seed of new, which is newer and counts"]


def test_runs_on_other_packs_are_kept_apart_and_the_remark_says_which(run_folder, tmp_path):
    """Two data roots with packs of one name were once merged as two seeds."""
    for number, (pack, images) in enumerate([("a" * 64, "c" * 64), ("b" * 64, "c" * 64), ("a" * 64, "c" * 64)]):
        with_metrics(
            run_folder(tmp_path / str(number), seed=number), {"pack_sha256": pack, "test/images_sha256": images}
        )
    groups, remarks = group_runs(find_runs([tmp_path])[0])
    assert [(group.data, [run.name for run in group.runs]) for group in groups] == [
        ("fer2013, pack aaaaaaaa", ["0", "2"]),
        ("fer2013, pack bbbbbbbb", ["1"]),
    ]
    assert "(pack aaaaaaaa: 0, 2; pack bbbbbbbb: 1)" in remarks[0]
    assert compare_all(groups)[0] == []


def test_runs_on_other_test_images_are_kept_apart(run_folder, tmp_path):
    for number, images in enumerate("cd"):
        folder = run_folder(tmp_path / str(number), seed=number)
        with_metrics(folder, {"pack_sha256": "a" * 64, "test/images_sha256": images * 64})
    groups, _ = group_runs(find_runs([tmp_path])[0])
    assert [group.data for group in groups] == ["fer2013, test images cccccccc", "fer2013, test images dddddddd"]


def test_a_run_without_digests_goes_with_those_of_its_data(run_folder, tmp_path):
    run_folder(tmp_path / "old", seed=0)
    with_metrics(run_folder(tmp_path / "new", seed=1), {"pack_sha256": "a" * 64, "test/images_sha256": "c" * 64})
    groups, remarks = group_runs(find_runs([tmp_path])[0])
    assert [(group.data, len(group.runs)) for group in groups] == [("fer2013", 2)]
    assert remarks == []


def test_seeds_of_different_code_are_remarked_on(run_folder, tmp_path):
    for number in range(2):
        with_metrics(
            run_folder(tmp_path / str(number), seed=number), {"commit": str(number) * 40, "threads": number + 1}
        )
    groups, _ = group_runs(find_runs([tmp_path])[0])
    assert mixed_code(groups) == [
        "fer2013: the seeds of ResNet-18 are of different commits (000000000000; 111111111111)",
        "fer2013: the seeds of ResNet-18 are of different numbers of threads (1; 2)",
    ]


def with_metrics(folder, more):
    file = folder / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | more))


GROUPS = {"model": "resnet18", "data": "demo", "freeze": "none", "augment": "standard", "optimizer": "adamw"}


def typed(*overrides, **groups):
    return {"groups": {**GROUPS, **groups}, "overrides": list(overrides)}


def test_what_was_typed_names_the_rows(run_folder, tmp_path):
    probe = {"freeze": {"_target_": "fer.training.freeze.FreezeSchedule", "trainable": [[0, 1]]}}
    for augment in ("none", "standard"):
        for freeze, settings in (("none", {}), ("linear_probe", probe)):
            both = {**settings, "augment": {"brightness": float(augment == "standard"), "flip": 0.5}}
            choices = typed(f"augment={augment}", f"freeze={freeze}", augment=augment, freeze=freeze)
            run_folder(tmp_path / f"{augment}_{freeze}", settings=both, choices=choices)
    assert sorted(name for name, *_ in names(tmp_path)) == [
        "ResNet-18 (freeze=linear_probe, augment=none)", "ResNet-18 (freeze=linear_probe, augment=standard)",
        "ResNet-18 (freeze=none, augment=none)", "ResNet-18 (freeze=none, augment=standard)",
    ]  # fmt: skip


def test_a_value_that_was_typed_for_one_run_is_named_for_all(run_folder, tmp_path):
    run_folder(tmp_path / "a", choices=typed())
    run_folder(tmp_path / "b", settings={"optimizer.lr": 0.01}, choices=typed("optimizer.lr=0.01", "seed=0"))
    assert sorted(name for name, *_ in names(tmp_path)) == ["ResNet-18 (lr=0.001)", "ResNet-18 (lr=0.01)"]


def test_what_differs_beyond_what_was_typed_is_named_too(run_folder, tmp_path):
    """As where a file of the config was edited between two runs."""
    run_folder(tmp_path / "a", choices=typed("freeze=none"))
    run_folder(tmp_path / "b", settings={"optimizer.lr": 0.01}, choices=typed("freeze=none"))
    assert sorted(name for name, *_ in names(tmp_path)) == ["ResNet-18 (lr=0.001)", "ResNet-18 (lr=0.01)"]


def test_runs_with_and_without_a_record_compare(run_folder, tmp_path):
    run_folder(tmp_path / "a")
    run_folder(tmp_path / "b", settings={"optimizer.lr": 0.01}, choices=typed("optimizer.lr=0.01"))
    assert sorted(name for name, *_ in names(tmp_path)) == ["ResNet-18 (lr=0.001)", "ResNet-18 (lr=0.01)"]


def test_a_damaged_record_is_a_remark(run_folder, tmp_path):
    folder = run_folder(tmp_path / "a")
    (folder / "choices.json").write_text("{")
    (run,) = find_runs([tmp_path])[0]
    assert run.choices is None
    assert "choices.json cannot be read" in run.remarks[0]
