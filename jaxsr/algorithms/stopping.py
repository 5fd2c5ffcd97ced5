"""Fits that stop by themselves: what is watched, and the wrapper that ends them and keeps the best."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxsr.state import State
from jaxsr.types import Algorithm, Batch, Metrics, Tree


class Watch(NamedTuple):
    """A number that says without the truth how good an output is; less is better.

    start:  image -> what is remembered
    follow: (remembered, step, image, batch) -> (remembered, number)
    """

    start: Callable[[jax.Array], Tree]
    follow: Callable[[Tree, jax.Array, jax.Array, Batch], tuple[Tree, jax.Array]]


def variance(*, rate: float) -> Watch:
    """The exponential moving variance of the outputs, a mean over all elements.

    m ← (1 - rate)·m + rate·f and v ← (1 - rate)·(v + rate·mean((f - m)²)), with m = f and v = 0 at first.
    It falls while an image forms, and rises, or stays, once the fit turns to the noise.

    Source: Wang et al., arXiv:2112.06074, ES-EMV (rate 0.1).
    """

    def start(image: jax.Array) -> Tree:
        return {"mean": image, "variance": jnp.zeros(())}

    def follow(
        held: Tree, step: jax.Array, image: jax.Array, batch: Batch
    ) -> tuple[Tree, jax.Array]:
        del batch
        apart = jnp.where(step == 0, 0.0, image - held["mean"])
        spread = (1 - rate) * (held["variance"] + rate * jnp.square(apart).mean())
        mean = jnp.where(step == 0, image, held["mean"] + rate * apart)
        return {"mean": mean, "variance": spread}, spread

    return Watch(start, follow)


def held_out(*, rate: float, operator: Callable[[jax.Array], jax.Array]) -> Watch:
    """The mean square error on elements that the fit does not see, averaged over steps as `variance` does.

    The batch has them as `held` (1 where held out) of the size of `lq` or one channel.
    """

    def start(image: jax.Array) -> Tree:
        del image
        return {"error": jnp.zeros(())}

    def follow(
        held: Tree, step: jax.Array, image: jax.Array, batch: Batch
    ) -> tuple[Tree, jax.Array]:
        chosen = jnp.broadcast_to(batch["held"], batch["lq"].shape)
        error = (jnp.square(operator(image) - batch["lq"]) * chosen).sum() / chosen.sum()
        smooth = jnp.where(step == 0, error, (1 - rate) * held["error"] + rate * error)
        return {"error": smooth}, smooth

    return Watch(start, follow)


def patient(
    algorithm: Algorithm, *, metric: str, start: int, patience: int, kept: tuple[str, ...]
) -> Algorithm:
    """Ends a fit when a metric has had no new minimum for `patience` steps; keeps its best.

    metric: of the algorithm's step; looked at from step `start` on
    kept:   entries of `extra` that belong to a result, beside the weights

    The step after `patience` vain ones changes nothing any more, nor does any after it: so what is kept does
    not depend on when the loop looks (`ended`), nor on other members of `several`.
    extra["stopping"]: the minimum, its step, weights and entries there, and whether it has ended.
    `predict` adds «stopped NAME» to each entry of the prediction: that of the minimum, or of now before
    `start`. Metrics: `best step`, `ended` (0 or 1).
    """

    def snapshot(state: State) -> dict[str, Tree]:
        # copies: under donation two entries of the state must not share a buffer
        extra = {name: state.extra[name] for name in kept}
        return jax.tree.map(jnp.copy, {"params": state.params, "extra": extra})

    def init(key: jax.Array, batch: Batch) -> State:
        state = algorithm.init(key, batch)
        held = {"least": jnp.float32(jnp.inf), "step": jnp.int32(start), "ended": jnp.bool_(False)}
        return state.replace(extra=state.extra | {"stopping": held | {"best": snapshot(state)}})

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        held = state.extra["stopping"]
        before = _without(state)
        after, metrics = algorithm.step(key, before, batch, frozen)
        ended = held["ended"] | (state.step - held["step"] > patience)
        looks = (state.step >= start) & ~ended
        better = looks & (metrics[metric] < held["least"])
        # the metric is of the weights before the step, the entries of `extra` have its output already
        found = {"params": before.params, "extra": {name: after.extra[name] for name in kept}}
        new = {
            "least": jnp.where(better, metrics[metric], held["least"]),
            "step": jnp.where(better, state.step, held["step"]),
            "ended": ended,
            "best": choose(better | (state.step < start), found, held["best"]),
        }
        after = choose(ended, before.replace(step=after.step), after)
        told = {"best step": new["step"].astype(jnp.float32), "ended": ended.astype(jnp.float32)}
        return after.replace(extra=after.extra | {"stopping": new}), metrics | told

    def predict(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> dict[str, Any]:
        now, best = _without(state), state.extra["stopping"]["best"]
        then = now.replace(params=best["params"], extra=now.extra | best["extra"])
        stopped = algorithm.predict(key, then, batch, frozen)
        return algorithm.predict(key, now, batch, frozen) | {
            f"stopped {name}": value for name, value in stopped.items()
        }

    return Algorithm(init, step, predict)


def choose(condition: jax.Array, one: Tree, other: Tree) -> Tree:
    """`one` where the condition holds, else `other`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)


def _without(state: State) -> State:
    return state.replace(extra={k: v for k, v in state.extra.items() if k != "stopping"})
