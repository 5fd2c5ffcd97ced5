"""Pixel shuffle and its inverse, in the channel order of PyTorch and of TensorFlow."""

import jax
import jax.numpy as jnp

ORDERS = ("torch", "tensorflow")


def pixel_shuffle(x: jax.Array, factor: int, *, order: str = "torch") -> jax.Array:
    """Move blocks of factor² channels into space.

    out[..., y·r + i, x·r + j, c] = in[..., y, x, k] with
    k = c·r² + i·r + j (`torch`) or k = (i·r + j)·C + c (`tensorflow`).

    Args:
        x: [..., H, W, C·r²], any dtype.
        factor: r >= 1.
        order: `torch` (torch.nn.PixelShuffle) or `tensorflow` (tf.nn.depth_to_space, dm_pix).
    Returns:
        [..., r·H, r·W, C], dtype of x.
    Raises:
        ValueError: too few axes, r < 1, channels that r² does not divide, unknown order.
    Source: pytorch/pytorch torch/nn/modules/pixelshuffle.py; tensorflow/tensorflow
        depth_to_space (NHWC).
    """
    _check(x, factor, order)
    *lead, h, w, c = x.shape
    if c % factor**2:
        raise ValueError(f"pixel_shuffle: {c} channels are not a multiple of {factor}².")
    if order == "torch":
        x = jnp.moveaxis(x.reshape(*lead, h, w, -1, factor, factor), -3, -1)
    else:
        x = x.reshape(*lead, h, w, factor, factor, -1)
    # [..., h, w, i, j, c] -> [..., h, i, w, j, c]
    x = jnp.swapaxes(x, -4, -3)
    return x.reshape(*lead, h * factor, w * factor, c // factor**2)


def pixel_unshuffle(x: jax.Array, factor: int, *, order: str = "torch") -> jax.Array:
    """Move blocks of factor × factor pixels into channels: the inverse of `pixel_shuffle`.

    Args:
        x: [..., r·H, r·W, C], any dtype.
        factor: r >= 1.
        order: as in `pixel_shuffle`.
    Returns:
        [..., H, W, C·r²], dtype of x.
    Raises:
        ValueError: too few axes, r < 1, a height or width that r does not divide, unknown order.
    Source: pytorch/pytorch torch/nn/modules/pixelshuffle.py (PixelUnshuffle).
    """
    _check(x, factor, order)
    *lead, h, w, c = x.shape
    if h % factor or w % factor:
        raise ValueError(f"pixel_unshuffle: size {h}x{w} is not a multiple of {factor}.")
    x = x.reshape(*lead, h // factor, factor, w // factor, factor, c)
    x = jnp.swapaxes(x, -4, -3)
    if order == "torch":
        x = jnp.moveaxis(x, -1, -3)
    return x.reshape(*lead, h // factor, w // factor, c * factor**2)


def _check(x: jax.Array, factor: int, order: str) -> None:
    if order not in ORDERS:
        raise ValueError(f"order {order!r} is unknown: use one of {', '.join(ORDERS)}.")
    if factor < 1:
        raise ValueError(f"factor must be at least 1, not {factor}.")
    if x.ndim < 3:
        raise ValueError(f"an image has the axes [..., H, W, C], not the shape {x.shape}.")
