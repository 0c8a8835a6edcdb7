import pytest
import torch
from torch.testing import assert_close

from fer.data.augment import BRIGHTNESS, COLUMNS, CONTRAST, ERASE_TONE, ROTATION, SHIFT_X, SHIFT_Y, Augment, resample
from fer.errors import ConfigError

EXACT = {"rtol": 0, "atol": 1e-5}  # rounding of positions; a grey level is 0.004
EVERYTHING = Augment(0.5, 20, (0.8, 1.25), 0.1, 0.2, 0.3, 0.5)


def faces(count=4, channels=1, height=24, width=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)


def draw(count, seed=0):
    return Augment.draw(count, torch.Generator().manual_seed(seed))


def choose(column=None, value=0.5, count=4):
    """Middling choices (no rotation, no shift, no change of tone), but for one column."""
    choices = torch.full((count, COLUMNS), 0.5)
    if column is not None:
        choices[:, column] = value
    return choices


def test_choices_are_uniform_numbers_fixed_by_the_generator():
    choices = draw(1000)
    assert choices.shape == (1000, COLUMNS)
    assert choices.min() >= 0
    assert choices.max() < 1
    assert_close(choices.mean(0), torch.full((COLUMNS,), 0.5), rtol=0, atol=0.05)
    assert torch.equal(choices, draw(1000))
    assert not torch.equal(choices, draw(1000, seed=1))


def test_at_native_size_nothing_is_resampled():
    images = faces()
    assert torch.equal(resample(images, 24), images / 255)


def test_without_changes_any_choices_give_the_image_back():
    images = faces()
    assert_close(Augment()(images, 24, draw(4)), images / 255, **EXACT)


def test_middling_choices_change_nothing():
    images = faces()
    augment = Augment(rotation=30, scale=(0.5, 2), shift=0.2, brightness=0.5, contrast=0.5)
    assert_close(augment(images, 24, choose()), images / 255, **EXACT)


def test_a_flip_mirrors_left_and_right():
    images = faces()
    assert_close(Augment(flip=1)(images, 24, draw(4)), images.flip(3) / 255, **EXACT)


def test_a_flip_happens_as_often_as_asked():
    images = faces(1).expand(2000, -1, -1, -1)
    flipped = Augment(flip=0.3)(images, 24, draw(2000))
    mirrored = (flipped - images.flip(3) / 255).abs().amax((1, 2, 3)) < 0.01
    assert mirrored.float().mean().item() == pytest.approx(0.3, abs=0.04)


def test_rotation_either_way():
    images = faces()
    augment = Augment(rotation=90)
    one_way, other_way = (augment(images, 24, choose(ROTATION, edge)) for edge in (0.0, 1.0))
    quarter_turns = {1: images.rot90(1, (2, 3)) / 255, -1: images.rot90(-1, (2, 3)) / 255}
    turns = [k for k, turned in quarter_turns.items() if (one_way - turned).abs().max() < 1e-3]
    assert len(turns) == 1
    assert_close(other_way, quarter_turns[-turns[0]], rtol=0, atol=1e-3)


def test_a_flipped_face_turns_like_the_mirror_image():
    """Flip and rotation make one map: the same as mirroring a rotated face."""
    images, choices = faces(), draw(4)
    turned = Augment(rotation=20)(images, 24, choices)
    both = Augment(flip=1, rotation=20)(images, 24, choices)
    mirrored_first = Augment(rotation=20)(images.flip(3), 24, choices)
    assert_close(both, mirrored_first, rtol=0, atol=1e-3)
    assert (both - turned).abs().max() > 0.1


@pytest.mark.parametrize(("column", "dim"), [(SHIFT_X, 3), (SHIFT_Y, 2)])
def test_a_shift_is_a_fraction_of_the_side(column, dim):
    images = faces()
    moved = Augment(shift=0.25)(images, 24, choose(column, 1.0))  # 6 of 24 pixels
    assert_close(moved.narrow(dim, 0, 18), images.narrow(dim, 6, 18) / 255, **EXACT)


def test_scale_magnifies():
    images = faces()
    larger = Augment(scale=(2, 2))(images, 24, choose())
    assert_close(larger[..., 2:-2, 2:-2], resample(images[..., 6:-6, 6:-6], 24)[..., 2:-2, 2:-2], **EXACT)


def test_beyond_its_edges_the_image_is_mirrored_not_black():
    white = torch.full((8, 1, 24, 24), 255, dtype=torch.uint8)
    augment = Augment(rotation=45, scale=(0.5, 0.7), shift=0.3)
    assert_close(augment(white, 24, draw(8)), torch.ones(8, 1, 24, 24), **EXACT)


def test_brightness_moves_all_levels_and_stops_at_white():
    images = faces()
    brighter = Augment(brightness=0.2)(images, 24, choose(BRIGHTNESS, 1.0))
    assert_close(brighter, (images / 255 + 0.2).clamp(max=1), **EXACT)


def test_contrast_is_about_mid_grey():
    images = faces()
    harder = Augment(contrast=0.5)(images, 24, choose(CONTRAST, 1.0))
    assert_close(harder, ((images / 255 - 0.5) * 1.5 + 0.5).clamp(0, 1), **EXACT)
    softer = Augment(contrast=0.5)(images, 24, choose(CONTRAST, 0.0))
    assert_close(softer, (images / 255 - 0.5) * 0.5 + 0.5, **EXACT)


def test_the_erased_rectangle_has_the_asked_area_within_a_pixel_a_side():
    count, size, area = 200, 48, 0.2
    choices = draw(count)
    choices[:, ERASE_TONE] = 0.5
    black = torch.zeros(count, 1, size, size, dtype=torch.uint8)
    erased = Augment(erase=1, erase_area=(area, area))(black, size, choices)[:, 0] == 0.5
    rows, columns = erased.any(2), erased.any(1)
    assert torch.equal(erased, rows[:, :, None] & columns[:, None, :])  # a whole rectangle
    for side in (rows, columns):
        assert ((side[:, 1:] & ~side[:, :-1]).sum(1) + side[:, 0] == 1).all()  # in one piece
    height, width = rows.sum(1), columns.sum(1)
    assert ((height * width - area * size * size).abs() <= height + width + 1).all()
    assert (height.float() / width).log().abs().max() < 1.2  # no thinner than about 1 : 3
    assert len({tuple(place) for place in torch.stack([height, width]).T.tolist()}) > 10
    assert erased.any(0).float().mean() > 0.95  # no place is spared


def test_erasing_happens_as_often_as_asked_with_areas_between_the_two():
    black = torch.zeros(1000, 1, 48, 48, dtype=torch.uint8)
    choices = draw(1000)
    choices[:, ERASE_TONE] = 0.5
    covered = (Augment(erase=0.25, erase_area=(0.05, 0.1))(black, 48, choices) > 0).float().mean((1, 2, 3))
    assert (covered > 0).float().mean().item() == pytest.approx(0.25, abs=0.05)
    assert covered[covered > 0].min() > 0.03
    assert covered.max() < 0.13


def test_nothing_outside_the_erased_rectangle_changes():
    images, choices = faces(50), draw(50)
    erased = Augment(erase=1)(images, 24, choices)
    plain = Augment()(images, 24, choices)
    tones = choices[:, ERASE_TONE, None, None, None].expand_as(erased)
    assert torch.where(erased == tones, plain, erased).equal(plain)


def test_each_image_of_a_batch_has_choices_of_its_own():
    images = faces(1).expand(16, -1, -1, -1)
    augmented = EVERYTHING(images, 24, draw(16))
    assert len({image.numpy().tobytes() for image in augmented}) == 16


@pytest.mark.parametrize("size", [12, 24, 40])
def test_a_batch_equals_its_images_one_by_one(size):
    images, choices = faces(9), draw(9)
    batch = EVERYTHING(images, size, choices)
    alone = [EVERYTHING(images[row : row + 1], size, choices[row : row + 1]) for row in range(9)]
    assert torch.equal(batch, torch.cat(alone))
    assert torch.equal(batch, EVERYTHING(images, size, choices))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(24, 24), (31, 20), (20, 50)])
@pytest.mark.parametrize("size", [1, 7, 24, 64])
def test_shape_and_range_of_the_output(channels, height, width, size):
    images = faces(6, channels, height, width)
    augmented = EVERYTHING(images, size, draw(6))
    assert augmented.shape == (6, channels, size, size)
    assert augmented.dtype == torch.float32
    assert augmented.min() >= 0
    assert augmented.max() <= 1


def test_the_images_given_are_not_changed():
    images = faces()
    before = images.clone()
    EVERYTHING(images, 24, draw(4))
    assert torch.equal(images, before)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_shrinking_averages_every_pixel(factor):
    images = faces(height=12 * factor, width=12 * factor)
    blocks = (images / 255).view(4, 1, 12, factor, 12, factor).mean((3, 5))
    assert_close(resample(images, 12), blocks, **EXACT)


def test_enlarging_is_bilinear():
    images = faces()
    expected = torch.nn.functional.interpolate(images / 255, size=96, mode="bilinear", align_corners=False)
    assert_close(resample(images, 96), expected, **EXACT)


@pytest.mark.parametrize("size", [24, 60])
def test_of_a_picture_that_is_not_square_the_central_square_is_taken(size):
    wide = faces(height=24, width=40)
    square = wide[..., 8:32]
    tall = wide.transpose(2, 3).contiguous()
    inside = slice(2, -2)  # at the very edge interpolation sees the neighbours outside the square
    expected = resample(square, size)
    assert_close(resample(wide, size)[..., inside], expected[..., inside], **EXACT)
    assert_close(resample(tall, size)[..., inside, :], expected.transpose(2, 3)[..., inside, :], **EXACT)


def test_augmenting_a_picture_that_is_not_square_keeps_its_proportions():
    wide = faces(height=24, width=40)
    turned = Augment(rotation=90)(wide, 24, choose(ROTATION, 1.0))
    square = Augment(rotation=90)(wide[..., 8:32].contiguous(), 24, choose(ROTATION, 1.0))
    assert_close(turned, square, rtol=0, atol=1e-3)


def test_mixed_precision_does_not_round_positions():
    """An evaluation under autocast sees the same faces as validation, whose loader runs outside of it."""
    images, choices = faces(), draw(4)
    plain = resample(images, 60), EVERYTHING(images, 60, choices)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = resample(images, 60), EVERYTHING(images, 60, choices)
    assert torch.equal(plain[0], mixed[0])
    assert torch.equal(plain[1], mixed[1])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("flip", 1.5),
        ("flip", -0.1),
        ("erase", 2),
        ("scale", (1.2, 0.8)),
        ("scale", (0, 1)),
        ("erase_area", (0.3, 0.1)),
    ],
)
def test_options_that_cannot_work(option, value):
    with pytest.raises(ConfigError, match=rf"augment\.{option}="):
        Augment(**{option: value})
