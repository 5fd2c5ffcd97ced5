"""The agent of RL-Restore: a small trunk, an LSTM over the steps of a chain, a value for every action."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import normal, variance_scaling
from jaxsr.types import UserError

SIDE = 63  # of the patches that it was trained on, in pixels
HIDDEN, FEATURES, GRID = 50, 32, 4
Carry = tuple[jax.Array, jax.Array]
# (features, size of the kernel, zeros before and after): TensorFlow's SAME for a stride of 2 at 63
# pixels, which is not PyTorch's symmetric padding
_TRUNK = ((32, 9, (4, 4)), (24, 5, (1, 2)), (24, 5, (1, 2)), (24, 5, (1, 2)))


class ToolchainAgent(nn.Module):
    """Scores of all actions for each step of chains: the tools, and last to stop.

    Trunk: four convolutions of stride 2 with ReLU (63 -> 32 -> 16 -> 8 -> 4 pixels), flattened, a
    linear layer of 32 with ReLU; then an LSTM of 50 over [32 features, one-hot of the last tool] with 1
    added to its forget gate, and a linear layer of n + 1. 87,863 parameters for 12 tools, 51 more with a
    value.

    tools: n, of the box
    value: a second linear layer gives V of each state (for policy gradients)
    start: `paper`: kernels of the trunk truncated normal of sqrt(2/(k²·outputs)), linear layers normal
           of 0.001, the LSTM's kernel uniform (Glorot). `policy`, since that makes the image vanish
           next to the one-hot: kernels of the trunk normal of sqrt(2/(k²·inputs)), those of the first
           layer 10 times as large and without their mean over space, so that noise and blur show and
           brightness does not; the linear layer orthogonal with gain sqrt(2), the heads with 0.01.
           Biases 0.
    pool:  the trunk's last map is max-pooled to 4×4, so that images of any size from 49 pixels are
           taken; at 63 pixels it changes nothing

    __call__: images [t,b,h,w,3], previous [t,b,n] (one-hot of the tool before, zeros at first and
    after a stop), carry (c, h) each [b,50] -> ({"logits": [t,b,n+1], "features": [t,b,32] (of the trunk),
    "memory": [t,b,50], "value": [t,b]}, carry). Images are 63 pixels a side without `pool`. All float32.
    Raises UserError for images of another size.
    Source: yuke93/RL-Restore dd1463d, dqn.py and the graph of models/model.
    """

    tools: int = 12
    value: bool = False
    start: str = "paper"
    pool: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, previous: jax.Array, carry: Carry, *, train: bool = False
    ) -> tuple[dict[str, jax.Array], Carry]:
        del train
        steps, batch, height, width, channels = images.shape
        check_size(height, width, pool=self.pool)
        small = _starts(self.start)
        x = images.reshape(steps * batch, height, width, channels)
        for index, (features, size, zeros) in enumerate(_TRUNK, start=1):
            draw = small["first" if index == 1 else "trunk"]
            x = nn.relu(_strided(features, size, zeros, f"l{index}", self.dtype, draw)(x))
        x = pooled(x) if self.pool else x
        x = x.reshape(steps * batch, -1)
        x = nn.relu(_linear(FEATURES, small["linear"], "l7", self.dtype)(x))
        features = x.reshape(steps, batch, -1)
        seen = jnp.concatenate([features, previous.astype(x.dtype)], -1)
        cell, outputs = LSTM(HIDDEN, self.dtype, name="lstm"), []
        for step in range(steps):  # unrolled: three steps, and a loop is slow on a CPU
            carry, output = cell(seen[step], carry)
            outputs.append(output)
        memory = jnp.stack(outputs)
        logits = _linear(self.tools + 1, small["head"], "q", self.dtype)(memory)
        found = {"logits": logits, "features": features, "memory": memory}
        found = {name: each.astype(jnp.float32) for name, each in found.items()}
        if self.value:
            value = _linear(1, small["head"], "value", self.dtype)(memory)
            found["value"] = value[..., 0].astype(jnp.float32)
        return found, carry


class LSTM(nn.Module):
    """One step of TensorFlow's BasicLSTMCell: kernel [inputs + units, 4·units], bias [4·units].

    i, g, f, o = split([x, h]·K + b); c' = c·σ(f + 1) + σ(i)·tanh(g); h' = tanh(c')·σ(o). The 1 is added
    here and is not in the bias. (x [b,I], (c, h)) -> ((c', h'), h').
    """

    units: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, carry: Carry) -> tuple[Carry, jax.Array]:
        c, h = carry
        both = jnp.concatenate([x, h.astype(x.dtype)], -1)
        i, g, f, o = jnp.split(
            _linear(
                4 * self.units, variance_scaling(1.0, "fan_avg", "uniform"), "gates", self.dtype
            )(both),
            4,
            -1,
        )
        c = c * nn.sigmoid(f + 1) + nn.sigmoid(i) * jnp.tanh(g)
        h = jnp.tanh(c) * nn.sigmoid(o)
        return (c, h), h


def zero_carry(batch: int) -> Carry:
    """The memory at the start of chains: (c, h), zeros [b,50]."""
    return jnp.zeros((batch, HIDDEN)), jnp.zeros((batch, HIDDEN))


def pooled(x: jax.Array) -> jax.Array:
    """Largest values of a map in 4×4 bins: [B,H,W,C] -> [B,4,4,C].

    Bin k covers rows floor(k·H/4) to ceil((k+1)·H/4), columns alike; neighbours may share one. A map of
    4×4 is returned as it is. Source: the graph of yuke93/RL-Restore models/model.
    """

    def bins(x: jax.Array, axis: int) -> jax.Array:
        size = x.shape[axis]
        parts = [
            jax.lax.slice_in_dim(x, k * size // GRID, -(-(k + 1) * size // GRID), axis=axis)
            for k in range(GRID)
        ]
        return jnp.stack([part.max(axis) for part in parts], axis)

    return bins(bins(x, 1), 2)


def check_size(height: int, width: int, *, pool: bool) -> None:
    """Raises UserError for images of a size that the agent cannot look at; see `ToolchainAgent`."""
    if pool and min(height, width) < 49:
        raise UserError(
            f"the agent's trunk leaves fewer than 4×4 of {width}×{height} pixels: give it patches of 49 or "
            "more."
        )
    if not pool and not all(49 <= n <= 64 for n in (height, width)):
        raise UserError(
            f"the agent takes patches of 63 pixels, not {width}×{height}: cut them, or set pool, which "
            "takes any size."
        )


def _starts(name: str) -> dict[str, Callable[..., Any]]:
    orthogonal = nn.initializers.orthogonal
    if name not in ("paper", "policy"):
        raise ValueError(f"an agent starts as in the paper or for a policy, not {name!r}.")
    if name == "paper":
        return {
            "first": _fan_out,
            "trunk": _fan_out,
            "linear": normal(0.001),
            "head": normal(0.001),
        }
    return {
        "first": _without_mean(variance_scaling(200.0, "fan_in", "normal")),
        "trunk": variance_scaling(2.0, "fan_in", "normal"),
        "linear": orthogonal(2**0.5),
        "head": orthogonal(0.01),
    }


def _without_mean(draw: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Kernels whose mean over space is 0: they see no brightness."""

    def made(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        kernel = draw(key, shape, dtype)
        return kernel - kernel.mean((0, 1), keepdims=True)

    return made


def _fan_out(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
    """Truncated normal of sqrt(2/(k²·outputs)): the reference counts the outputs, not the inputs."""
    deviation = (2 / (shape[0] * shape[1] * shape[3])) ** 0.5
    return nn.initializers.truncated_normal(deviation, lower=-2.0, upper=2.0)(key, shape, dtype)


def _strided(
    features: int,
    size: int,
    zeros: tuple[int, int],
    name: str,
    dtype: Any,
    draw: Callable[..., Any],
) -> nn.Conv:
    """A convolution of stride 2."""
    return nn.Conv(
        features, (size, size), strides=(2, 2), padding=(zeros, zeros), kernel_init=draw,
        bias_init=nn.initializers.zeros, dtype=dtype, param_dtype=jnp.float32, name=name,
    )  # fmt: skip


def _linear(features: int, draw: Callable[..., Any], name: str, dtype: Any) -> nn.Dense:
    return nn.Dense(
        features, kernel_init=draw, bias_init=nn.initializers.zeros, dtype=dtype,
        param_dtype=jnp.float32, name=name,
    )  # fmt: skip
