"""Images of two kinds, two tools that each mend one of them, and agents small enough to learn in seconds."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.algorithms.bank import sorted_blocks
from jaxsr.algorithms.toolchain import Rules
from jaxsr.types import Network

TOOLS, SIDE = 2, 4
# the first darkens and the second brightens, by as much as the images are off
FUNCTIONS = (lambda p, x: x - p, lambda p, x: x + p)
WEIGHTS = {"tool01": jnp.float32(0.2), "tool02": jnp.float32(0.2)}
BANK = sorted_blocks(FUNCTIONS, block=1)
RULES = Rules(steps=2, allow_stop=True, min_steps=0, abort_below_input=False)


def carry(batch):
    return jnp.zeros((batch, 3))


def batch(count, *, seed=0):
    """Mid-grey images that are 0.2 too bright or too dark, with a little noise: one tool mends each."""
    rng = np.random.default_rng(seed)
    hq = (0.5 + 0.02 * rng.normal(size=(count, SIDE, SIDE, 3))).astype(np.float32)
    sign = rng.choice([-1.0, 1.0], size=(count, 1, 1, 1)).astype(np.float32)
    lq = hq + 0.2 * sign + 0.01 * rng.normal(size=hq.shape).astype(np.float32)
    levels = rng.uniform(size=(count, 3)).astype(np.float32)
    return {"lq": jnp.asarray(lq), "hq": jnp.asarray(hq), "levels": jnp.asarray(levels)}


def agent(*, value=True):
    """Linear in the brightness, the last tool and a memory of brightness; a `Network`."""

    def init(key, images, previous, state):
        del images, previous, state
        return {"params": {"w": 0.01 * jax.random.normal(key, (3 + TOOLS + 1, TOOLS + 2))}}

    def apply(variables, images, previous, state, *, train):
        del train
        outputs, memories = [], []
        for seen, before in zip(images, previous, strict=True):
            state = 0.5 * state + 10 * (seen.mean((1, 2)) - 0.5)
            memories.append(state)
            x = jnp.concatenate([state, before, jnp.ones((len(seen), 1))], -1)
            outputs.append(x @ variables["params"]["w"])
        out = jnp.stack(outputs)
        found = {"logits": out[..., :-1], "features": out, "memory": jnp.stack(memories)}
        return (found | ({"value": out[..., -1]} if value else {}), state), {}

    return Network(init, apply)


def levels():
    """Linear in the features, and a constant."""

    def init(key, features):
        del key
        return {"params": {"w": 0.1 * jnp.ones((features.shape[-1] + 1, 3))}}

    def apply(variables, features, *, train):
        del train
        w = variables["params"]["w"]
        return features @ w[:-1] + w[-1], {}

    return Network(init, apply)


def critic():
    """Linear in all it is given."""

    def init(key, memory, told):
        del key
        return {"params": {"w": jnp.zeros(memory.shape[-1] + told.shape[-1])}}

    def apply(variables, memory, told, *, train):
        del train
        return jnp.concatenate([memory, told], -1) @ variables["params"]["w"], {}

    return Network(init, apply)
