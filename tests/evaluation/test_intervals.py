"""The interval of an accuracy holds the truth in 93 % of experiments and more, with few people too."""

import itertools

import numpy as np
import pytest

from fer.evaluation.intervals import (
    SeedSpread,
    accuracy_interval,
    by_unit,
    clopper_pearson,
    freedom_of_sum,
    ratio_variance,
)

SIZES = {  # images of each person
    "8 each": lambda generator, people: np.full(people, 8),
    "1 to 60": lambda generator, people: np.exp(generator.normal(1.8, 0.9, people)).round().clip(1, 60).astype(int),
    "70 each": lambda generator, people: np.full(people, 70),  # as in the drawn faces
}


def coverage(people, accuracy, correlation, sizes="8 each", experiments=400):
    """How often the interval holds the accuracy, where people are beta-binomial with that correlation."""
    generator = np.random.default_rng(people)
    held = 0
    for _ in range(experiments):
        able = np.full(people, accuracy)
        if correlation:
            spread = 1 / correlation - 1
            able = generator.beta(accuracy * spread, (1 - accuracy) * spread, people)
        subjects = np.repeat(np.arange(people), SIZES[sizes](generator, people))
        low, high = accuracy_interval(generator.random(len(subjects)) < able[subjects], subjects)
        held += low <= accuracy <= high
    return held / experiments


@pytest.mark.parametrize(
    ("people", "accuracy", "correlation", "sizes"),
    [
        (5, 0.92, 0.4, "70 each"),  # people resampled: 80 %
        (12, 0.8, 0.4, "1 to 60"),
        (15, 0.92, 0.4, "70 each"),
        (60, 0.98, 0.4, "8 each"),
        (118, 0.98, 0.2, "1 to 60"),
    ],
)
def test_the_truth_is_held_with_few_people(people, accuracy, correlation, sizes):
    """Two standard errors of 400 experiments are 2.2 points."""
    assert coverage(people, accuracy, correlation, sizes) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("people", [5, 12, 15, 30, 60, 118])
def test_the_truth_is_held_on_the_whole_grid(people, sizes):
    """In 4,000 experiments each: 93.9 % and more (docs/evaluation.md)."""
    grid = itertools.product((0.5, 0.8, 0.92, 0.98), (0, 0.2, 0.4))
    found = {cell: coverage(people, *cell, sizes, 1000) for cell in grid}
    assert min(found.values()) >= 0.92, found


@pytest.mark.parametrize(("right", "edge"), [(True, 0.8843), (False, 0.1157)])
def test_all_right_or_all_wrong_is_not_certainty(right, edge):
    """The exact interval of 30 of 30 and of 0 of 30, as in any table."""
    assert edge == pytest.approx(accuracy_interval(np.full(30, right))[0 if right else 1], abs=1e-4)


@pytest.mark.parametrize("right", [True, False])
def test_images_of_people_tell_less_than_as_many_people_and_more_than_one_of_each(right):
    people = np.repeat([f"S{n}" for n in range(30)], 8)
    width = np.ptp(accuracy_interval(np.full(240, right), people))
    assert np.ptp(accuracy_interval(np.full(240, right))) < width < np.ptp(accuracy_interval(np.full(30, right)))


def test_one_person_says_nothing_of_others():
    assert accuracy_interval(np.arange(40) % 4 > 0, np.full(40, "S1")) is None
    assert accuracy_interval(np.ones((3, 40), dtype=bool), np.full(40, "S1")) is None


@pytest.mark.parametrize(("right", "images"), [(50, 100), (5, 8), (3000, 4000)])
def test_the_interval_is_about_that_of_the_normal_approximation(right, images):
    correct = np.arange(images) < right
    low, high = accuracy_interval(correct)
    share = right / images
    width = 2 * 1.96 * np.sqrt(share * (1 - share) / images)
    assert low < share < high
    assert high - low == pytest.approx(width, rel=0.15)


def test_the_interval_is_the_same_each_time():
    correct, subjects = np.arange(40) % 3 > 0, np.array([f"S{n // 4}" for n in range(40)])
    assert accuracy_interval(correct) == accuracy_interval(correct)
    assert accuracy_interval(correct, subjects) == accuracy_interval(correct, subjects)


def test_whole_subjects_make_the_interval_wider():
    """Ten people, all of whose images are right or all wrong: a tenth of the information."""
    subjects = np.repeat([f"S{n}" for n in range(10)], 20)
    correct = np.repeat(np.arange(10) < 6, 20)
    images, people = accuracy_interval(correct), accuracy_interval(correct, subjects)
    assert people[0] < 0.6 < people[1]
    assert (people[1] - people[0]) > 3 * (images[1] - images[0])


def test_a_subject_for_each_image_is_the_same_as_none():
    correct = np.arange(200) % 4 > 0
    each = accuracy_interval(correct, np.array([f"S{n}" for n in range(200)]))
    assert each == pytest.approx(accuracy_interval(correct), abs=0.011)


def test_subjects_count_by_their_images():
    """One person with 90 images and two with 5: the accuracy is over images."""
    subjects = np.array(["a"] * 90 + ["b"] * 5 + ["c"] * 5)
    low, high = accuracy_interval(subjects == "a", subjects)
    assert low < 0.2
    assert high > 0.99


def test_seeds_that_differ_widen_the_interval_of_their_mean():
    generator = np.random.default_rng(0)
    steady = generator.random((3, 500)) < 0.8
    unsteady = generator.random((3, 500)) < np.array([[0.7], [0.8], [0.9]])
    assert np.ptp(accuracy_interval(unsteady)) > 2 * np.ptp(accuracy_interval(steady))


def test_folds_whose_models_differ_widen_the_interval():
    subjects = np.repeat(np.arange(100), 10)
    folds = subjects % 10
    generator = np.random.default_rng(0)
    alike, unlike = generator.random(1000) < 0.8, generator.random(1000) < 0.6 + 0.04 * folds
    assert np.ptp(accuracy_interval(unlike, subjects, folds=folds)) > 1.5 * np.ptp(accuracy_interval(unlike, subjects))
    assert np.ptp(accuracy_interval(alike, subjects, folds=folds)) < 1.4 * np.ptp(accuracy_interval(alike, subjects))
    assert accuracy_interval(unlike, subjects, folds=folds % 3) == accuracy_interval(unlike, subjects)  # too few


def test_the_exact_interval_as_in_any_table():
    assert clopper_pearson(0.7, 10) == pytest.approx([0.3475, 0.9333], abs=1e-4)
    assert clopper_pearson(1.0, 30) == [pytest.approx(0.8843, abs=1e-4), 1]


def test_degrees_of_freedom_are_between_those_of_the_parts():
    assert freedom_of_sum([(2.0, 7)]) == pytest.approx(7)
    assert freedom_of_sum([(2.0, 7), (0.0, 1)]) == pytest.approx(7)
    assert freedom_of_sum([(1.0, 4), (1.0, 4)]) == pytest.approx(8)
    assert 1 < freedom_of_sum([(1.0, 1), (1.0, 500)]) < 1.2  # the first may be far larger than it looks


def test_the_variance_over_images_is_that_of_a_share():
    correct = np.arange(100)[None] < 80
    assert ratio_variance(*(part[0] if part.ndim > 1 else part for part in by_unit(correct))) == pytest.approx(
        0.8 * 0.2 / 99
    )


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_that_are_all_right_or_all_wrong_have_an_interval(right, seeds):
    people = np.repeat([f"P{number}" for number in range(17)], 7)
    answers = np.full((seeds, len(people)), right)
    for spread in (None, SeedSpread(0.01, 0.01, 2)):
        for subjects in (people, None):
            low, high = accuracy_interval(answers, subjects, spread)
            assert 0 <= low < high <= 1
