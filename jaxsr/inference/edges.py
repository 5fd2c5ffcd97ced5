"""A network on a window that is larger than the image, as if the window ended where the image does.

A convolution of the whole image finds zeros beyond its edge, at every layer; in a window of one
fixed size the image may end earlier, and what the layers before have put there (at the least their
biases) must not be seen. So each padded convolution has its input set to zero outside the image.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import EdgePad, TransposedConv

_REFUSED = (nn.ConvTranspose, nn.ConvLocal)


def inside(apply: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`apply` on the top left part of a window, the rest of which does not exist for the network.

    The function returned takes (variables, extent, lq, *conditions): extent int32 [2] is the (height,
    width) of the image in the window lq [1,H,W,c], and may change without a new compilation. The
    part of lq outside must repeat the edge of the image, which is what resizing inside a network
    sees. The top left extent of the result is then what `apply` gives for the image alone; the rest
    has no meaning.

    Layers are found as modules: `nn.Conv` with padding and `TransposedConv` have their input masked,
    `EdgePad` repeats the edge of the image. Raises ValueError for a layer on a grid that is no whole
    multiple or fraction of the window's, and for padding that wraps or reflects.
    """

    def run(variables: Any, extent: jax.Array, lq: jax.Array, *conditions: jax.Array):
        window = lq.shape[1:3]

        def intercept(function, arguments, options, context):
            if context.method_name != "__call__":
                return function(*arguments, **options)
            module = context.module
            if isinstance(module, _REFUSED):
                raise ValueError(f"{type(module).__name__} cannot be masked: use TransposedConv.")
            if isinstance(module, TransposedConv) or (
                isinstance(module, nn.Conv) and _pads(module)
            ):
                arguments = (_masked(arguments[0], extent, window), *arguments[1:])
            elif isinstance(module, EdgePad):
                arguments = (_edge_repeated(arguments[0], extent, window), *arguments[1:])
            return function(*arguments, **options)

        with nn.intercept_methods(intercept):
            return apply(variables, lq, *conditions)

    return run


def _pads(module: nn.Conv) -> bool:
    """Whether a convolution sees anything beyond the edge of its input."""
    padding = module.padding
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID"):
            raise ValueError(f"padding {padding!r} of {module.name} cannot be masked.")
        return padding == "SAME" and max(module.kernel_size) > 1
    return any(jax.tree.leaves(padding))


def _ends(x: jax.Array, extent: jax.Array, window: tuple[int, int]) -> list[jax.Array]:
    """How many rows and columns of x [B,h,w,C] belong to the image."""
    ends = []
    for axis in (0, 1):
        size, whole = x.shape[1 + axis], window[axis]
        if size % whole and whole % size:
            raise ValueError(f"a layer of {size} pixels does not lie on the grid of {whole}.")
        ends.append(
            extent[axis] * (size // whole) if size >= whole else extent[axis] // (whole // size)
        )
    return ends


def _masked(x: jax.Array, extent: jax.Array, window: tuple[int, int]) -> jax.Array:
    """x with zeros outside the image."""
    height, width = _ends(x, extent, window)
    rows = jnp.arange(x.shape[1]) < height
    columns = jnp.arange(x.shape[2]) < width
    return jnp.where(
        (rows[:, None] & columns[None, :])[None, :, :, None], x, jnp.zeros((), x.dtype)
    )


def _edge_repeated(x: jax.Array, extent: jax.Array, window: tuple[int, int]) -> jax.Array:
    """x with the edge of the image repeated outside it."""
    height, width = _ends(x, extent, window)
    x = jnp.take(x, jnp.minimum(jnp.arange(x.shape[1]), height - 1), axis=1)
    return jnp.take(x, jnp.minimum(jnp.arange(x.shape[2]), width - 1), axis=2)
