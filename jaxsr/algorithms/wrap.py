"""Wrappers: each takes an algorithm and returns one with the same three functions."""

import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxsr.state import State, stream
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
