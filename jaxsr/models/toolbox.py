"""The restoration tools of RL-Restore: two small residual networks, and the box of twelve of them."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution
from jaxsr.types import Tree

# of the twelve published tools, in the order of the actions
PUBLISHED = ("small", "small", "large", "large") * 3
REACH = 8  # pixels that a tool of either kind looks to each side


class SmallTool(nn.Module):
    """Three convolutions (9-5-5) and the input: [B,H,W,3] -> [B,H,W,3], not clipped.

    y = x + conv3(relu(conv2(relu(conv1(x))))). Kernels start Kaiming normal, biases 0, conv3 at 0: a
    tool that was not trained is the identity (the published start is not known). 21,827 parameters,
    receptive field 17×17.
    Source: yuke93/RL-Restore, the graphs beside toolbox/tool01.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        x = nn.relu(convolution(32, 9, name="conv1", dtype=self.dtype)(lq))
        x = nn.relu(convolution(16, 5, name="conv2", dtype=self.dtype)(x))
        return _residual(self, lq, x)


class LargeTool(nn.Module):
    """Eight convolutions with two residual units inside, and the input: [B,H,W,3] -> [B,H,W,3].

    s1 = conv1_2(relu(conv1(x))), without activation; s2 = s1 + conv2a(relu(conv2(relu(s1))));
    s3 = s2 + conv2d(relu(conv2c(relu(s2)))); y = x + conv3(relu(conv2_2(s3))), s3 without activation;
    not clipped. Starts as `SmallTool`. 50,851 parameters, receptive field 17×17.
    Source: yuke93/RL-Restore, the graphs beside toolbox/tool03.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train

        def layer(x: jax.Array, features: int, size: int, name: str) -> jax.Array:
            return convolution(features, size, name=name, dtype=self.dtype)(x)

        s1 = layer(nn.relu(layer(lq, 64, 5, "conv1")), 32, 1, "conv1_2")
        s2 = s1 + layer(nn.relu(layer(nn.relu(s1), 32, 3, "conv2")), 32, 3, "conv2a")
        s3 = s2 + layer(nn.relu(layer(nn.relu(s2), 32, 3, "conv2c")), 32, 3, "conv2d")
        return _residual(self, lq, nn.relu(layer(s3, 64, 1, "conv2_2")))


class Toolbox(nn.Module):
    """Tools side by side, `tool01`, `tool02`, …: row r of a batch goes through tool r mod n.

    [B,H,W,3] -> [B,H,W,3], B a multiple of the number n of tools; so one supervised run trains all of
    them, each on the rows that are its own. `functions` gives the tools one by one.

    families: «small» or «large» for each tool, in the order of the actions. The published twelve have
              436,068 parameters.
    Raises ValueError for another family, and for a batch that cannot be shared out.
    """

    families: Sequence[str] = PUBLISHED
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        count = len(self.families)
        if lq.shape[0] % count:
            raise ValueError(f"a batch of {lq.shape[0]} cannot be shared out to {count} tools.")
        made = [
            _family(family)(dtype=self.dtype, name=name)(lq[index::count], train=train)
            for index, (name, family) in enumerate(zip(names(count), self.families, strict=True))
        ]
        return jnp.stack(made, axis=1).reshape(lq.shape)


def names(count: int) -> tuple[str, ...]:
    """The names of the tools in the tree of a box: tool01, tool02, …"""
    return tuple(f"tool{number:02d}" for number in range(1, count + 1))


def functions(
    families: Sequence[str], *, dtype: Any = jnp.float32
) -> tuple[Callable[[Tree, jax.Array], jax.Array], ...]:
    """The tools of a box as functions (parameters of one tool, images) -> images, in its order."""

    def tool(family: str) -> Callable[[Tree, jax.Array], jax.Array]:
        module = _family(family)(dtype=dtype)
        return lambda params, images: module.apply({"params": params}, images)

    return tuple(map(tool, families))


def _family(name: str) -> type[nn.Module]:
    kinds = {"small": SmallTool, "large": LargeTool}
    if name not in kinds:
        raise ValueError(f"a tool is small or large, not {name!r}.")
    return kinds[name]


def _residual(module: nn.Module, lq: jax.Array, x: jax.Array) -> jax.Array:
    """The last convolution of both families, from zero, and the global residual in float32."""
    zero = nn.initializers.zeros
    out = convolution(3, 5, name="conv3", dtype=module.dtype, kernel_init=zero)(x)
    return lq.astype(jnp.float32) + out.astype(jnp.float32)
