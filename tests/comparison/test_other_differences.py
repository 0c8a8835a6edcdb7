"""Paired tests of macro F1 and balanced accuracy claim what there is; a comparison says what it could have shown."""

from pathlib import Path

import numpy as np
import pytest

from fer.comparison.groups import Group
from fer.comparison.pairs import below_majority, compare_all, in_words
from fer.runs.finished import Run
from fer.runs.tables import Predictions

NAMES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
SHARES = np.array([467, 56, 496, 895, 607, 653, 415]) / 3589  # of FER2013's test images


def answer(generator, labels, latent):
    """What a model predicts: right where the latent ability is over 0."""
    return np.where(latent > 0, labels, (labels + generator.integers(1, 7, len(labels))) % 7)


def row(model, labels, seeds, subjects=None):
    """A row of the comparison, int [N] and predictions of each seed, int [S, N]."""
    names, of = np.arange(len(labels)).astype(str), np.array(NAMES)
    runs = [
        Run(Path(model), f"{model}{seed}", {"seed": seed}, {"test/accuracy": float((said == labels).mean())},
            Predictions(NAMES, names, of[labels], of[said], np.zeros(len(labels)), np.eye(7)[said], subjects))
        for seed, said in enumerate(seeds)
    ]  # fmt: skip
    return Group(model, model, "made up", "made up", NAMES, runs, {})


def experiments(count, images, gap=0.0, seeds=1, people=None, against=None):
    """Comparisons of two models, the second better by `gap` in ability, or on the classes `against` alone."""
    generator = np.random.default_rng(images)
    for _ in range(count):
        labels = generator.choice(7, images, p=SHARES)
        hardness, subjects = 0.9 + generator.normal(0, 1.5, images), None
        if people:
            persons = generator.integers(0, people, images)
            subjects = persons.astype(str)
            hardness += generator.normal(0, 1, people)[persons]
        rows = []
        for model, better in (("A", 0.0), ("B", gap)):
            more = better if against is None else better * np.isin(labels, against)
            own = hardness + more + generator.normal(0, 0.5, images)
            if people:
                own = own + generator.normal(0, 0.5, people)[persons]
            said = [answer(generator, labels, own + generator.normal(0, 1, images)) for _ in range(seeds)]
            rows.append(row(model, labels, said, subjects))
        yield compare_all(rows)[0][0]


def claimed(**of):
    """Of each metric, how often a difference is claimed."""
    found = list(experiments(**of))
    return {metric: np.mean([d.others[metric].p < 0.05 for d in found]) for metric in found[0].others}


@pytest.mark.parametrize(("seeds", "people"), [(1, None), (3, None), (1, 40)])
def test_equal_models_are_rarely_said_to_differ(seeds, people):
    """Two standard errors of 80 experiments are 4.9 points; the slow test makes 1,000."""
    shares = claimed(count=80, images=500, seeds=seeds, people=people)
    assert max(shares["macro_f1"], shares["balanced_accuracy"]) <= 0.09


@pytest.mark.slow
@pytest.mark.parametrize("images", [200, 1000, 3589])
@pytest.mark.parametrize(("seeds", "people"), [(1, None), (3, None), (1, 40)])
def test_equal_models_are_rarely_said_to_differ_in_many_experiments(images, seeds, people):
    shares = claimed(count=1000, images=images, seeds=seeds, people=people)
    print(images, seeds, people, shares)
    assert max(shares.values()) <= 0.065 + 0.01


def test_a_gain_on_rare_classes_shows_in_the_mean_over_classes():
    """Disgust and fear alone get better: the accuracy hardly tells, the mean over classes does."""
    assert claimed(count=40, images=3000, gap=1.5, against=[1, 2])["balanced_accuracy"] > 0.8


def power(count, images, **of):
    """How often a difference is shown that is as large as the page says it could have shown."""
    smallest = np.median([d.detectable for d in experiments(25, images, **of)])
    gap = 0.1
    for _ in range(3):  # the ability that makes such a difference
        signed = [
            d.estimate.value if d.first.model == "B" else -d.estimate.value for d in experiments(60, images, gap, **of)
        ]
        gap *= smallest / np.mean(signed)
    return float(np.mean([d.shown and d.first.model == "B" for d in experiments(count, images, gap, **of)]))


def test_the_smallest_difference_is_shown_in_eight_of_ten():
    assert power(80, 1000) == pytest.approx(0.8, abs=0.12)


def test_no_difference_says_what_would_have_been_shown():
    difference = next(d for d in experiments(20, 400) if not d.shown)
    assert f"; one of {100 * difference.detectable:.1f} would have been)" in in_words(difference)
    assert difference.detectable > 2.5 * difference.estimate.error


def test_rows_below_the_majority_are_remarked_on():
    labels = np.repeat([3, 0], [60, 40])
    groups = [row("good", labels, [labels]), row("poor", labels, [np.where(np.arange(100) < 55, labels, 5)])]
    (remark,) = below_majority(groups)
    assert remark == ("made up: poor (55.0%) is not better than always answering the most frequent class (60.0%)")
