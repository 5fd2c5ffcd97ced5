"""jaxsr.data.pipeline: a batch depends on the seed and the step only; the shares are exact."""

import contextlib
import threading

import numpy as np
import pytest

from jaxsr.data.images import write_png
from jaxsr.data.pipeline import batches, iterate, mixture
from jaxsr.data.sources import folder, load
from jaxsr.data.transforms import crop
from jaxsr.types import UserError


def group(first, count):
    """Samples that carry their number."""
    numbers = range(first, first + count)
    return [{"name": str(i), "hq": np.full((2, 2, 3), i, np.uint8)} for i in numbers]


def number(sample, rng):
    """The number of the sample and one draw."""
    return {"id": np.int32(sample["hq"][0, 0, 0]), "draw": rng.random(2, np.float32)}


def make(groups=None, **options):
    options = {"seed": 3, "batch_size": 4, "transform": number} | options
    return batches(groups or [(group(0, 5), 1), (group(100, 3), 3)], **options)


def ids(dataset, steps, start=0):
    return np.concatenate([dataset[k]["id"] for k in range(start, start + steps)])


def same(a, b):
    return set(a) == set(b) and all(np.array_equal(a[k], b[k]) for k in a)


def test_a_batch_is_stacked():
    batch = make()[7]
    assert {k: (v.shape, v.dtype) for k, v in batch.items()} == {
        "id": ((4,), np.dtype(np.int32)),
        "draw": ((4, 2), np.dtype(np.float32)),
    }
    assert make(batch_size=1)[7]["draw"].shape == (1, 2)


def test_a_batch_depends_on_seed_and_step_only():
    dataset = make()
    far = dataset[1_000_000]  # no walk up to there
    forward = [dataset[k] for k in range(6)]
    again = make()
    assert all(same(again[k], forward[k]) for k in reversed(range(6)))
    assert same(again[1_000_000], far)
    other = make(seed=4)
    assert not np.array_equal(ids(other, 12), ids(dataset, 12))
    assert not np.array_equal(other[0]["draw"], forward[0]["draw"])


def test_draws_belong_to_the_position_alone():
    # Neither the size of the batch nor the groups change the draws of position i.
    draws = lambda d, n: np.concatenate([d[k]["draw"] for k in range(n)])  # noqa: E731
    expected = draws(make(), 6)
    np.testing.assert_array_equal(draws(make(batch_size=6), 4), expected)
    np.testing.assert_array_equal(draws(make([(group(0, 9), 1)]), 6), expected)
    assert len(np.unique(expected)) == expected.size


def test_every_pass_shows_each_sample_once_in_a_new_order():
    for count in (1, 2, 7):
        order = ids(make([(group(0, count), 1)], batch_size=count), 12).reshape(12, count)
        assert (np.sort(order) == np.arange(count)).all()
        assert len({tuple(row) for row in order}) > (1 if count > 1 else 0)
    assert len({tuple(row) for row in order}) == 12  # of 5040 orders


def test_groups_and_seeds_do_not_share_their_orders():
    # A seed counted up by one for each pass, group or run would repeat the orders.
    a = ids(make([(group(0, 50), 1), (group(100, 50), 1)], batch_size=100, seed=0), 3)
    b = ids(make([(group(0, 50), 1), (group(100, 50), 1)], batch_size=100, seed=1), 3)
    passes = [
        tuple(x[(x >= 100) == side].reshape(3, 50)[p] % 100)
        for x in (a, b)
        for side in (False, True)
        for p in range(3)
    ]
    assert len(set(passes)) == 12


@pytest.mark.parametrize("weights", [(9, 1), (0.9, 0.1), (7, 3), (1, 1, 1), (0.25, 2, 0.75)])
def test_shares_are_exact_and_even(weights):
    groups = [(group(100 * g, 3), w) for g, w in enumerate(weights)]
    cycle = len(mixture(weights))
    numbers = ids(make(groups, batch_size=cycle), 8)
    seen = numbers // 100
    share = np.array(weights) / sum(weights)
    assert (np.bincount(seen) == np.round(8 * cycle * share)).all()
    assert cycle * share == pytest.approx(np.round(cycle * share))
    # Within its places a group runs through its three samples, pass by pass.
    for g in range(len(weights)):
        own = numbers[seen == g]
        passes = own[: len(own) // 3 * 3].reshape(-1, 3)
        assert (np.sort(passes) == 100 * g + np.arange(3)).all()
    # At no time is a group a whole sample behind its share.
    so_far = np.cumsum(seen[:, None] == np.arange(len(weights)), axis=0)
    assert (so_far - np.arange(1, len(seen) + 1)[:, None] * share > -1).all()


def test_mixture_is_exact_for_any_weights():
    for seed in range(30):
        weights = np.random.default_rng(seed).integers(1, 40, 4).tolist()
        cycle = mixture(weights)
        reduced = np.array(weights) // np.gcd.reduce(weights)
        assert len(cycle) == reduced.sum()
        for g in range(4):
            assert [n for h, n in cycle if h == g] == list(range(reduced[g]))
    assert mixture([2]) == [(0, 0)]
    assert mixture([0.1, 0.2]) == [(1, 0), (0, 0), (1, 1)]


def test_drawn_groups_have_their_probability_and_their_order():
    """As SFT-GAN's code: position i shows image i of the epoch, or by a draw one of the other group."""
    groups = [(group(0, 50), 0.9), (group(100, 7), 0.1)]
    dataset = make(groups, batch_size=50, drawn=True)
    numbers = ids(dataset, 200)
    other = numbers >= 100
    # 10,000 draws: four standard deviations
    assert abs(other.mean() - 0.1) < 4 * np.sqrt(0.09 / len(other))
    assert other.reshape(200, 50).sum(1).std() > 1  # of 50 draws each: √4.5
    epochs = np.where(other, -1, numbers).reshape(200, 50)
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in epochs)
    assert set(numbers[other]) == set(range(100, 107))
    again = make(groups, batch_size=50, drawn=True)
    assert same(again[123], dataset[123])
    assert not np.array_equal(ids(make(groups, seed=4, batch_size=50, drawn=True), 1), numbers[:50])
    parts = [make(groups, batch_size=50, drawn=True, shard=(k, 2))[9] for k in range(2)]
    assert np.array_equal(np.concatenate([p["id"] for p in parts]), dataset[9]["id"])


@pytest.mark.parametrize("count", [2, 4])
def test_shards_are_the_parts_of_the_batch(count):
    whole = make()
    parts = [make(shard=(s, count)) for s in range(count)]
    for k in (0, 1, 9):
        for key in ("id", "draw"):
            joined = np.concatenate([part[k][key] for part in parts])
            np.testing.assert_array_equal(joined, whole[k][key])


@pytest.mark.parametrize("threads, prefetch", [(0, 0), (1, 1), (3, 5), (2, 0)])
def test_iterate_equals_the_positions(threads, prefetch):
    dataset = make()
    for start in (0, 5):
        with contextlib.closing(iterate(dataset, start, threads=threads, prefetch=prefetch)) as it:
            for k in range(start, start + 7):
                assert same(next(it), dataset[k])


def test_worker_processes_equal_no_workers(tmp_path):
    for i in range(5):
        image = np.random.default_rng(i).integers(0, 256, (12, 14, 3), np.uint8)
        write_png(tmp_path / f"{i}.png", image)
    # Half of the samples are read from the disk, in the worker.
    samples = load(folder(tmp_path), cache_mib=1300 / 2**20)
    assert [("hq" in s) for s in samples].count(True) == 2
    dataset = make([(samples, 1)], transform=crop(size=8))
    with contextlib.closing(iterate(dataset, 3, workers=2, threads=1, prefetch=1)) as it:
        seen = [next(it) for _ in range(5)]
    for k, batch in enumerate(seen, 3):
        assert same(batch, dataset[k])


def test_close_ends_the_threads():
    before = threading.active_count()
    it = iterate(make(), threads=3, prefetch=6)
    next(it)
    assert threading.active_count() > before
    it.close()
    for thread in threading.enumerate():
        if thread.name.startswith("grain"):
            thread.join(timeout=5)
    assert threading.active_count() == before
    it.close()  # twice does no harm
    with pytest.raises(ValueError, match="closed"):
        next(it)


def test_an_error_of_a_sample_reaches_the_caller():
    dataset = make([(group(0, 3), 1)], transform=crop(size=8))
    with contextlib.closing(iterate(dataset)) as it, pytest.raises(UserError, match="smaller"):
        next(it)


def test_mistakes():
    some = group(0, 3)
    for groups, words in (
        ([], "no image"),
        ([(some, 1), ([], 1)], "no image"),
        ([(some, 0)], "above 0"),
        ([(some, -1), (some, 1)], "above 0"),
        ([(some, float("nan"))], "above 0"),
        ([(some, float("inf"))], "above 0"),
        ([(some, 1 / 3), (some, 1 / 7)], "too fine"),
    ):
        with pytest.raises(UserError, match=words):
            batches(groups, seed=0, batch_size=4, transform=number)
    for options, words in (
        ({"batch_size": 0}, "batch of 0"),
        ({"shard": (0, 3)}, "3 parts"),
        ({"shard": (2, 2)}, "part 2"),
        ({"seed": -1}, "negative"),
    ):
        with pytest.raises(UserError, match=words):
            make(**options)
