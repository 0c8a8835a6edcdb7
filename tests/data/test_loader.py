import pytest
import torch

from fer.data.augment import Augment, resample
from fer.data.loader import DeviceLoader, epoch_generator
from fer.errors import ConfigError

COUNT = 40
AUGMENT = Augment(flip=0.5, rotation=15, scale=(0.9, 1.1), shift=0.1, brightness=0.2, contrast=0.2, erase=0.5)
IMAGES = torch.randint(0, 256, (COUNT, 1, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(COUNT) % 7
ROWS = torch.tensor([row for row in range(COUNT) if row % 5])  # 32 of the 40


def loader(rows=ROWS, **options):
    defaults = {"batch_size": 5, "image_size": 16, "augment": AUGMENT, "shuffle": True}
    return DeviceLoader(IMAGES, LABELS, rows, **(defaults | options))


def evaluation(rows=ROWS, **options):
    return loader(rows, augment=None, shuffle=False, **options)


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def rows_of(batches):
    return [row for batch in batches for row in batch.rows.tolist()]


def test_a_batch_holds_faces_their_classes_and_their_rows():
    batch = loader().batch(0, 0)
    assert batch.images.shape == (5, 1, 16, 16)
    assert batch.images.dtype == torch.float32
    assert torch.equal(batch.labels, LABELS[batch.rows])
    assert set(batch.rows.tolist()) <= set(ROWS.tolist())


def test_any_batch_can_be_made_again():
    first, second = loader(), loader()
    forward = [first.batch(epoch, step) for epoch in range(3) for step in range(len(first))]
    backward = [second.batch(epoch, step) for epoch in (2, 1, 0) for step in reversed(range(len(second)))]
    assert all(same(a, b) for a, b in zip(forward, reversed(backward), strict=True))
    assert same(first.batch(1, 2), first.batch(1, 2))


def test_an_epoch_visits_every_image_at_most_once_and_drops_the_short_batch():
    batches = list(loader())
    assert len(batches) == len(loader()) == 6
    assert {len(batch.labels) for batch in batches} == {5}
    rows = rows_of(batches)
    assert len(set(rows)) == len(rows) == 30
    assert set(rows) <= set(ROWS.tolist())


def test_every_image_is_visited_sooner_or_later():
    seen = {row for epoch in range(20) for row in rows_of(loader(epoch=lambda epoch=epoch: epoch))}
    assert seen == set(ROWS.tolist())


def test_every_epoch_has_an_order_and_augmentation_of_its_own():
    epoch = 0
    training = loader(epoch=lambda: epoch)
    first = list(training)
    epoch = 1
    second = list(training)
    assert rows_of(first) != rows_of(second)
    epoch = 0
    assert all(same(a, b) for a, b in zip(first, training, strict=True))
    alone = [loader(torch.tensor([7]), batch_size=1).batch(epoch, 0).images for epoch in range(8)]
    assert len({image.numpy().tobytes() for image in alone}) == 8


def test_the_seed_fixes_the_order():
    assert rows_of(loader(seed=3)) == rows_of(loader(seed=3))
    assert rows_of(loader(seed=3)) != rows_of(loader(seed=4))


def test_augmentation_leaves_the_order_as_it_is():
    assert rows_of(loader(augment=None)) == rows_of(loader())


def test_neighbouring_seeds_and_epochs_share_nothing():
    first = {tuple(torch.rand(4, generator=epoch_generator(s, e)).tolist()) for s in range(20) for e in range(20)}
    assert len(first) == 400


def test_without_augmentation_faces_are_only_resampled():
    batch = loader(augment=None).batch(0, 1)
    assert torch.equal(batch.images, resample(IMAGES[batch.rows], 16))


def test_evaluation_goes_through_all_images_in_order_once():
    batches = list(evaluation())
    assert len(batches) == len(evaluation()) == 7
    assert rows_of(batches) == ROWS.tolist()
    assert torch.equal(torch.cat([batch.images for batch in batches]), resample(IMAGES[ROWS], 16))
    assert torch.equal(torch.cat([batch.labels for batch in batches]), LABELS[ROWS])


def test_evaluation_never_augments():
    assert torch.equal(loader(shuffle=False).batch(0, 0).images, resample(IMAGES[ROWS[:5]], 16))


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_together_train_on_the_batch_of_a_single_process(world_size):
    single = loader(batch_size=12)
    ranks = [loader(batch_size=12 // world_size, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert {len(rank) for rank in ranks} == {len(single)}
    for epoch in range(2):
        for step in range(len(single)):
            whole = single.batch(epoch, step)
            for number, rank in enumerate(ranks):
                assert same(rank.batch(epoch, step), [column[number::world_size] for column in whole])


@pytest.mark.parametrize("count", [1, 2, 7, 31, 32])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_together_evaluate_each_image_once(count, world_size):
    shards = [evaluation(ROWS[:count], rank=rank, world_size=world_size) for rank in range(world_size)]
    assert [len(list(shard)) for shard in shards] == [len(shard) for shard in shards]
    assert sorted(row for shard in shards for row in rows_of(shard)) == ROWS[:count].tolist()


@pytest.mark.parametrize("done", [0, 1, 4, 5])
def test_a_run_stopped_within_an_epoch_goes_on_with_exactly_the_rest(done):
    stopped = loader(epoch=lambda: 3)
    batches = iter(stopped)
    for _ in range(done):
        next(batches)
    state = stopped.state_dict()

    resumed = loader(epoch=lambda: 3)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    rest = list(resumed)
    assert len(rest) == 6 - done
    assert all(same(a, b) for a, b in zip(rest, batches, strict=True))
    assert all(same(a, b) for a, b in zip(resumed, loader(epoch=lambda: 3), strict=True))  # the next epoch is whole


def test_a_run_stopped_between_epochs_starts_with_a_whole_one():
    stopped = loader()
    list(stopped)
    resumed = loader()
    resumed.load_state_dict(stopped.state_dict())
    assert len(list(resumed)) == 6


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_split_smaller_than_a_batch_is_one_batch(world_size):
    ranks = [loader(ROWS[:5], batch_size=64, rank=rank, world_size=world_size, seed=1) for rank in range(world_size)]
    assert {len(rank) for rank in ranks} == {1}
    assert sorted(row for rank in ranks for row in rows_of(rank)) == ROWS[:5].tolist()


@pytest.mark.parametrize(("batch_size", "image_size"), [(0, 16), (-1, 16), (5, 0)])
def test_sizes_under_one_are_refused(batch_size, image_size):
    with pytest.raises(ConfigError, match=rf"data\.batch_size={batch_size}, data\.image_size={image_size}"):
        loader(batch_size=batch_size, image_size=image_size)
