"""Small networks and batches with which the algorithms are tested."""

import jax
import jax.numpy as jnp

from jaxsr.types import Network


def affine(features: int = 3) -> Network:
    """x -> x·w + b per pixel, w drawn."""

    def init(key, x):
        w = 0.5 * jax.random.normal(key, (x.shape[-1], features))
        return {"params": {"w": w, "b": jnp.zeros(features)}}

    def apply(variables, x, *, train, key=None):
        return x @ variables["params"]["w"] + variables["params"]["b"], {}

    return Network(init, apply)


def critic() -> Network:
    """The mean of a squared projection, with running statistics that count the calls."""

    def init(key, x):
        w = jax.random.normal(key, (x.shape[-1],))
        return {"params": {"w": w}, "batch_stats": {"mean": jnp.zeros(())}}

    def apply(variables, x, *, train):
        out = jnp.tanh(x @ variables["params"]["w"]).mean((1, 2))[:, None]
        old = variables["batch_stats"]["mean"]
        moved = (
            {"mean": 0.5 * old + 0.5 * jax.lax.stop_gradient(out.mean())}
            if train
            else {"mean": old}
        )
        return {"gan": out}, moved

    return Network(init, apply)


def batch(size: int = 4, seed: int = 0) -> dict[str, jax.Array]:
    keys = jax.random.split(jax.random.key(seed), 2)
    return {
        "lq": jax.random.uniform(keys[0], (size, 4, 4, 3)),
        "hq": jax.random.uniform(keys[1], (size, 4, 4, 3)),
    }
