"""Wrappers: each takes an algorithm and returns one with the same three functions."""

import operator
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec

from jaxsr.state import State, step_key, stream
from jaxsr.types import Algorithm, Batch, Metrics, Tree


def degrade(
    algorithm: Algorithm, *, degradation: Callable[..., jax.Array], margin: int, scale: int
) -> Algorithm:
    """Makes `lq` from `hq` on the device, inside the step, with the key stream «degrade».

    degradation: (key, hq [b, h, w, c]) -> lq [b, h/scale, w/scale, c]
    margin:      HQ pixels cut off each side of both images after the degradation, a multiple of `scale`;
                 with a margin of at least twice the scale a bicubic `lq` is that of the whole image
    A batch that has its `lq` already (evaluation) is left as it is.
    """

    def with_lq(key: jax.Array, batch: Batch) -> Batch:
        if "lq" in batch:
            return batch
        hq, cut = batch["hq"], margin // scale
        lq = degradation(stream(key, "degrade"), hq)
        height, width = hq.shape[1:3]
        return dict(batch) | {
            "hq": hq[:, margin : height - margin, margin : width - margin],
            "lq": lq[:, cut : lq.shape[1] - cut, cut : lq.shape[2] - cut],
        }

    def init(key: jax.Array, batch: Batch) -> State:
        return algorithm.init(key, with_lq(key, batch))

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        return algorithm.step(key, state, with_lq(key, batch), frozen)

    def predict(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> jax.Array:
        return algorithm.predict(key, state, with_lq(key, batch), frozen)

    return Algorithm(init, step, predict)


def ema(algorithm: Algorithm, *, decay: float, network: str = "gen") -> Algorithm:
    """Keeps an exponential moving average of one network's weights, θ̄ ← decay·θ̄ + (1 − decay)·θ.

    It starts from the initial weights, is updated after every step, lives in `extra["ema"]`, and is what
    `predict` uses. Batch statistics are not averaged: they are averages already.
    """

    def init(key: jax.Array, batch: Batch) -> State:
        state = algorithm.init(key, batch)
        # a copy: under donation two entries of the state must not share a buffer
        return state.replace(
            extra=state.extra | {"ema": jax.tree.map(jnp.copy, state.params[network])}
        )

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        state, metrics = algorithm.step(key, state, batch, frozen)
        average = optax.incremental_update(state.params[network], state.extra["ema"], 1 - decay)
        return state.replace(extra=state.extra | {"ema": average}), metrics

    def predict(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> jax.Array:
        averaged = state.replace(params=state.params | {network: state.extra["ema"]})
        return algorithm.predict(key, averaged, batch, frozen)

    return Algorithm(init, step, predict)


def accumulate(algorithm: Algorithm, *, parts: int) -> Algorithm:
    """Takes one step in `parts` passes over equal parts of the batch: less memory, the same mean gradient.

    The optimisers of `algorithm` must be `optax.MultiSteps(…, every_k_schedule=parts)`, so that they move
    at the last pass only. Pass i has the key fold_in(key, i); metrics are means over the passes. With
    batch normalisation the statistics are those of a part, so the result is not that of the whole batch.
    The passes are unrolled: a convolution inside a loop primitive is many times slower on a CPU.
    """

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        split = jax.tree.map(lambda x: x.reshape((parts, -1) + x.shape[1:]), dict(batch))
        first, passes = state.step, []
        for index in range(parts):
            part = jax.tree.map(operator.itemgetter(index), split)
            state, metrics = algorithm.step(jax.random.fold_in(key, index), state, part, frozen)
            passes.append(metrics)
        mean = jax.tree.map(lambda *values: sum(values) / parts, *passes)
        return state.replace(step=first + 1), mean

    return Algorithm(algorithm.init, step, algorithm.predict)


def within(
    algorithm: Algorithm, *, context: Callable[[], AbstractContextManager[None]]
) -> Algorithm:
    """Traces `step`, and nothing else, inside a context: what it changes is a matter of training alone."""

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        with context():
            return algorithm.step(key, state, batch, frozen)

    return Algorithm(algorithm.init, step, algorithm.predict)


class Member(NamedTuple):
    """One of several runs: its name in the state, its seed, and what it would see of a batch alone."""

    name: str
    seed: int
    part: Callable[[Batch], Batch]


def own(state: State, member: Member) -> State:
    """The state of one of `several` runs, as that of its single run."""
    held = (each[member.name] for each in (state.params, state.opt, state.extra))
    return State(state.step, *held)


# (function, [arguments of each member], frozen) -> [result of each member]
Placed = Callable[[Callable[..., Any], Sequence[tuple], Tree], list[Any]]


def several(algorithm: Algorithm, *, members: Sequence[Member], placed: Placed) -> Algorithm:
    """Several runs of one algorithm in one program.

    Every member draws from its own seed what it would draw alone; the keys given are not used. With
    `unrolled` its bits are those of its single run on the same devices; with `sharded` measured so for
    weights and optimiser, while sums that are fused otherwise may differ in the last bit (running averages).
    params, opt and extra of the state are {member: those of its single run}, whatever `placed` is, so that a
    run may go on with another.
    Metrics: the mean over members by its name, and «member/name». `predict` gives {member: its prediction},
    unrolled, of the members that find something of theirs in the batch.
    """

    def joined(states: Sequence[State]) -> State:
        parts = ("params", "opt", "extra")
        held = {
            part: {m.name: getattr(s, part) for m, s in zip(members, states, strict=True)}
            for part in parts
        }
        return State(step=states[0].step, **held)

    def init(key: jax.Array, batch: Batch) -> State:
        del key
        keys = [stream(step_key(m.seed, 0), "init") for m in members]
        return joined([algorithm.init(k, m.part(batch)) for k, m in zip(keys, members)])

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        del key
        given = [(step_key(m.seed, state.step), own(state, m), m.part(batch)) for m in members]
        states, metrics = zip(*placed(algorithm.step, given, frozen))
        found = {
            f"{m.name}/{name}": v for m, each in zip(members, metrics) for name, v in each.items()
        }
        mean = {name: sum(each[name] for each in metrics) / len(metrics) for name in metrics[0]}
        return joined(states), mean | found

    def predict(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> Tree:
        del key
        found = {}
        for m in members:
            if seen := m.part(batch):
                one = stream(step_key(m.seed, state.step), "predict")
                found[m.name] = algorithm.predict(one, own(state, m), seen, frozen)
        return found

    return Algorithm(init, step, predict)


def unrolled(function: Callable[..., Any], given: Sequence[tuple], frozen: Tree) -> list[Any]:
    """One member after the other in one program: any shapes, the bits of single runs."""
    return [function(*each, frozen) for each in given]


def mapped(function: Callable[..., Any], given: Sequence[tuple], frozen: Tree) -> list[Any]:
    """All members by `jax.vmap`: equal shapes; convolutions become grouped ones, which round otherwise."""
    made = jax.vmap(function, (0, 0, 0, None))(*_stacked(given), frozen)
    return _apart(made, len(given))


def sharded(mesh: Mesh) -> Placed:
    """As many members at each place of a mesh along its axis `seed`, unrolled there: equal shapes.

    Where several devices share a place, the axis `data` is left to the compiler, which splits the batch of a
    member over them.
    """
    ours = {"seed"} if mesh.shape["data"] > 1 else set(mesh.axis_names)

    def place(function: Callable[..., Any], given: Sequence[tuple], frozen: Tree) -> list[Any]:
        count = len(given) // mesh.shape["seed"]

        def local(here: tuple, frozen: Tree) -> Tree:
            return _stacked(unrolled(function, _apart(here, count), frozen))

        split, whole = PartitionSpec("seed"), PartitionSpec()
        made = jax.shard_map(
            local, mesh=mesh, in_specs=(split, whole), out_specs=split, axis_names=ours,
            check_vma=False,
        )(_stacked(given), frozen)  # fmt: skip
        return _apart(made, len(given))

    return place


def _stacked(trees: Sequence[Tree]) -> Tree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _apart(tree: Tree, count: int) -> list[Tree]:
    return [jax.tree.map(operator.itemgetter(index), tree) for index in range(count)]
