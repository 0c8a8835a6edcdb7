from collections import Counter

import numpy as np
import pytest

from fer.data.datasets.drawn import ACTION_UNITS, PROTOTYPES, STYLES, draw_faces, draw_images, draw_parameters

SMALL = (70, 14, 14)
EMOTIONS = {"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"}


@pytest.fixture(scope="module", params=STYLES)
def drawn(request):
    return draw_faces(request.param, faces=SMALL)


def test_a_row_per_face(drawn):
    assert drawn.images.shape == (sum(SMALL), 48, 48)
    assert drawn.images.dtype == np.uint8
    for column in (drawn.emotions, drawn.subjects, drawn.splits, drawn.names):
        assert len(column) == sum(SMALL)
        assert {type(value) for value in column} == {str}


def test_names_are_unique_and_tell_emotion_and_subject(drawn):
    assert len(set(drawn.names)) == len(drawn.names)
    for name, emotion, subject in zip(drawn.names, drawn.emotions, drawn.subjects, strict=True):
        assert name.startswith(f"{emotion}/{subject}_")


def test_every_split_has_every_emotion(drawn):
    assert Counter(drawn.splits) == dict(zip(("train", "val", "test"), SMALL, strict=True))
    for split in ("train", "val", "test"):
        assert {e for e, s in zip(drawn.emotions, drawn.splits, strict=True) if s == split} == EMOTIONS


def test_no_subject_is_in_two_splits(drawn):
    assert len(set(zip(drawn.subjects, drawn.splits, strict=True))) == len(set(drawn.subjects))


def test_a_seed_fixes_every_bit():
    first, again, other = (draw_faces("demo", seed, SMALL) for seed in (1, 1, 2))
    assert np.array_equal(first.images, again.images)
    assert first.names == again.names
    assert not np.array_equal(first.images, other.images)


def test_styles_differ():
    """The ink drawing is paper-white and outlined: brighter on the whole, and steeper from pixel to pixel."""
    shaded, inked = (draw_faces(style, faces=SMALL).images.astype(float) for style in STYLES)
    assert inked.mean() > shaded.mean() + 10
    assert np.abs(np.diff(inked)).mean() > 1.3 * np.abs(np.diff(shaded)).mean()


@pytest.mark.parametrize("style", STYLES)
def test_brightness_and_contrast_do_not_tell_the_emotion(style):
    drawn = draw_faces(style, faces=(420, 14, 280))
    images, emotions, splits = drawn.images.astype(float), np.array(drawn.emotions), np.array(drawn.splits)
    statistics = np.stack([images.mean((1, 2)), images.std((1, 2))], axis=1)
    statistics /= statistics.std(0)
    names = sorted(EMOTIONS)
    means = np.stack([statistics[(emotions == name) & (splits == "train")].mean(0) for name in names])
    test = splits == "test"
    nearest = np.linalg.norm(statistics[test, None] - means, axis=2).argmin(1)
    accuracy = np.mean(np.array(names)[nearest] == emotions[test])
    assert accuracy < 0.28  # chance is 0.14, the largest class 0.19


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("emotion", "changed", "kept"),
    [
        ("surprise", slice(32, 48), slice(0, 5)),  # the jaw drops
        ("happy", slice(32, 42), slice(0, 12)),  # the lip corners rise
        ("angry", slice(12, 20), slice(22, 28)),  # the brows are lowered, the nose stays
    ],
)
def test_action_units_move_their_part_of_the_face(style, emotion, changed, kept):
    count = 32
    parameters = draw_parameters(style, np.arange(count), np.random.default_rng(0))
    for still in (
        "roll",
        "yaw",
        "pitch",
        "shift_x",
        "shift_y",
        "bar",
        "noise",
    ):
        parameters[still] = np.zeros(count)
    neutral, shown = (
        draw_images(parameters | {unit: np.full(count, apex.get(unit, 0.0)) for unit in ACTION_UNITS}, style, seed=0)
        for apex in ({}, PROTOTYPES[emotion][0])
    )
    difference = np.abs(shown.astype(float) - neutral)[:, :, 12:36].mean((0, 2))  # by row
    assert difference[changed].mean() > 4 * difference[kept].mean()


def test_unknown_style_is_refused():
    with pytest.raises(ValueError, match="choose one of demo, demo2"):
        draw_faces("oil")


def test_too_few_faces_are_refused():
    with pytest.raises(ValueError, match="emotions"):
        draw_faces("demo", faces=(70, 14, 6))
