"""Samples to batches with grain: batch k is a function of the seed and k alone."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import grain
import numpy as np
from absl import flags

from jaxsr.data.sources import Sample, fetch
from jaxsr.data.transforms import Arrays, Transform
from jaxsr.types import UserError

# The uses of the seed, kept apart: the draws of a sample, the order of a group, the draw of a group.
_DRAWS, _ORDER, _GROUP = 0, 1, 2
# A cycle of the mixture is listed in memory; shares that need a longer one are a mistake.
_LONGEST_CYCLE = 1_000_000
_POSITIONS = 2**62


def batches(
    groups: Sequence[tuple[Sequence[Sample], float]],
    *,
    seed: int,
    batch_size: int,
    transform: Transform,
    shard: tuple[int, int] = (0, 1),
    drawn: bool = False,
) -> grain.MapDataset:
    """An endless data set of batches in which the step number is the position.

    Position i = step·batch_size + row takes its group from a fixed cycle, in which every group has
    exactly its share; its sample from the group's order, shuffled anew in every pass; and its
    random draws from a generator seeded by (seed, i). So a batch depends on nothing that came
    before it, and a run that resumes at step k reads `dataset[k]`.

    Args:
        groups: (samples of `load`, weight > 0); the shares are the weights over their sum.
        seed: 0 or above.
        batch_size: over all shards.
        transform: (sample, generator) -> dict of arrays of fixed shapes; see `transforms`. It must
            not change the sample.
        shard: (index, count): element k holds the index-th of count equal parts of batch k, so the
            parts of all hosts, in order, are the batch of one host.
        drawn: the group of a position is drawn, with its share as the probability, in the place of
            the cycle. Every group is then run through by the positions, of which it shows those that
            fell to it: how SFT-GAN's training code replaces one image in ten by a background.
    Returns:
        grain.MapDataset; element k is a dict of arrays [batch_size / count, ...].
    Raises:
        UserError: no group, an empty one, a weight not above 0, a batch that cannot be shared out.
    """
    index, count = shard
    if batch_size < 1 or count < 1 or batch_size % count or not 0 <= index < count:
        raise UserError(
            f"a batch of {batch_size} cannot be split into {count} parts (part {index}): "
            "choose a multiple of the number of hosts."
        )
    if seed < 0:
        raise UserError(f"seed {seed} is negative: choose 0 or above.")
    if not groups or not all(len(samples) for samples, _ in groups):
        raise UserError("a group of the training data has no image: check it, or leave it out.")
    weights = [weight for _, weight in groups]
    cycle = mixture(weights)
    orders = [_order(len(samples), seed, g) for g, (samples, _) in enumerate(groups)]
    shares = np.bincount([g for g, _ in cycle], minlength=len(groups))
    upper = np.cumsum(weights[:-1]) / sum(weights)  # of the groups in [0, 1), the last open
    rows = batch_size // count

    def place_of(i: int) -> tuple[int, int]:
        """The group of a position, and which of that group's sequence it shows."""
        if drawn:
            bits = np.random.SeedSequence(seed, spawn_key=(_GROUP, i))
            return int(np.searchsorted(upper, np.random.default_rng(bits).random(), "right")), i
        turn, place = divmod(i, len(cycle))
        group, ordinal = cycle[place]
        return group, turn * int(shares[group]) + ordinal

    def example(n: int) -> Arrays:
        step, row = divmod(n, rows)
        i = step * batch_size + index * rows + row
        group, ordinal = place_of(i)
        sample = groups[group][0][orders[group](ordinal)]
        draws = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_DRAWS, i)))
        return transform(fetch(sample), draws)

    return grain.MapDataset.range(_POSITIONS).map(example).batch(rows)


def iterate(
    dataset: grain.MapDataset,
    start: int = 0,
    *,
    workers: int = 0,
    threads: int = 2,
    prefetch: int = 4,
) -> grain.DatasetIterator:
    """Batches dataset[start], dataset[start + 1], ..., made ahead of their use.

    Each thread makes a whole batch. Neither threads nor workers change a bit of the batches. Worker
    processes help where the transform holds the interpreter lock; each one gets its own copy of the
    samples, and starts a new interpreter that imports the main module again (guard it).

    Args:
        dataset: of `batches`.
        start: step of the first batch.
        workers: processes; 0 means threads of this one only.
        threads: threads (in every process). 0: batches are made when they are asked for.
        prefetch: batches held ready (by every process), at least `threads`.
    Returns:
        an iterator with `close()`, which must be called: use `contextlib.closing`.
    """
    ahead = max(prefetch, threads) if threads else 0
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
    stream = dataset[start:].to_iter_dataset(options)
    if workers:
        if not flags.FLAGS.is_parsed():  # grain's workers read absl flags, also outside absl.app
            flags.FLAGS.mark_as_parsed()
        stream = stream.mp_prefetch(
            grain.MultiprocessingOptions(
                num_workers=workers, per_worker_buffer_size=max(prefetch, 1)
            )
        )
    return iter(stream)


def mixture(weights: Sequence[float]) -> list[tuple[int, int]]:
    """The shortest cycle of groups in which every group has exactly its share, evenly spread.

    Each place goes to the group that is furthest behind its share (the first among equals).

    Args:
        weights: > 0, taken as the decimal numbers that they print as: 0.1 is one tenth.
    Returns:
        [(group, how many places of the cycle it had before)], of length Σ w / gcd(w).
    Raises:
        UserError: a weight not above 0, or weights whose cycle is too long to list.
    """
    if not all(0 < weight < float("inf") for weight in weights):
        raise UserError(f"the weights {list(weights)} must all be numbers above 0.")
    exact = [Fraction(str(weight)) for weight in weights]
    unit = Fraction(
        math.gcd(*(f.numerator for f in exact)), math.lcm(*(f.denominator for f in exact))
    )
    length = int(sum(exact) / unit)
    if length > _LONGEST_CYCLE:
        raise UserError(f"the weights {list(weights)} are too fine: use small whole numbers.")
    counts = np.array([int(f / unit) for f in exact])
    cycle, used = [], np.zeros(len(counts), np.int64)
    for place in range(length):
        group = int(np.argmax((place + 1) * counts - used * length))
        cycle.append((group, int(used[group])))
        used[group] += 1
    return cycle


def _order(size: int, seed: int, group: int) -> Callable[[int], int]:
    """Endless order of a group: n -> an index, each index once in every pass of `size`.

    Not grain's shuffle: on a group of ten images it takes milliseconds for one index, and it seeds
    pass p of seed s as pass 0 of seed s + p, so that neighbouring seeds share their orders.
    """
    passes: dict[int, np.ndarray] = {}  # the last two: threads straddle the end of a pass

    def index(n: int) -> int:
        turn, place = divmod(n, size)
        order = passes.get(turn)
        if order is None:
            bits = np.random.SeedSequence(seed, spawn_key=(_ORDER, group, turn))
            order = np.random.default_rng(bits).permutation(size)
            if len(passes) >= 2:
                passes.clear()
            passes[turn] = order
        return int(order[place])

    return index
