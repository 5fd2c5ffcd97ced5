"""The training state, the streams of random keys, and one optimiser update."""

import zlib
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxsr.types import Metrics, Tree


@flax.struct.dataclass
class State:
    """All that changes while training, and all that is checkpointed beside the config.

    step:   int32[], number of steps taken
    params: {network: tree}
    opt:    {network: optax state}
    extra:  {name: tree}, for example batch statistics (`batch_stats`) or an average of weights (`ema`)
    """

    step: jax.Array
    params: dict[str, Tree]
    opt: dict[str, Any]
    extra: dict[str, Tree]


def step_key(seed: int, step: int) -> jax.Array:
    """The key of one training step: fold_in(key(seed), step), so a resumed run draws what it would have."""
    return jax.random.fold_in(jax.random.key(seed), step)


def stream(key: jax.Array, name: str) -> jax.Array:
    """An independent key for a named use («degrade», «dropout», «policy») of one step's key."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()) & 0x7FFFFFFF)


def variables(state: State, network: str) -> dict[str, Tree]:
    """What `Network.apply` wants of a network: its parameters and, where it has them, batch statistics."""
    stats = state.extra.get("batch_stats", {})
    held = {"params": state.params[network]}
    return held | ({"batch_stats": stats[network]} if network in stats else {})


def create(
    networks: dict[str, dict[str, Tree]], optimisers: dict[str, optax.GradientTransformation]
) -> State:
    """A fresh state from {network: variables} and {network: optimiser}."""
    stats = {name: held["batch_stats"] for name, held in networks.items() if "batch_stats" in held}
    params = {name: held["params"] for name, held in networks.items()}
    return State(
        step=jnp.zeros([], jnp.int32),
        params=params,
        opt={name: optimisers[name].init(params[name]) for name in params},
        extra={"batch_stats": stats} if stats else {},
    )


def update(
    state: State, network: str, grads: Tree, optimiser: optax.GradientTransformation
) -> tuple[State, Metrics]:
    """One optimiser update of one network; the step count is left to the algorithm.

    Returns the new state and the global norms `grad_norm/<network>` (of the gradient as given) and
    `param_norm/<network>` (after the update, so that finite metrics mean finite parameters).
    """
    params = state.params[network]
    updates, opt = optimiser.update(grads, state.opt[network], params)
    moved = optax.apply_updates(params, updates)
    new = state.replace(params=state.params | {network: moved}, opt=state.opt | {network: opt})
    metrics = {
        f"grad_norm/{network}": optax.tree.norm(grads),
        f"param_norm/{network}": optax.tree.norm(moved),
    }
    return new, metrics
