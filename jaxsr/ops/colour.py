"""Colour of BT.601 in studio range: the luma that super-resolution scores are computed on."""

import jax
import jax.numpy as jnp
import numpy as np

# MATLAB's rgb2ycbcr, in levels of 255 for RGB in [0, 1]; rows are Y, Cb, Cr.
_MATRIX = (
    (65.481, 128.553, 24.966),
    (-37.797, -74.203, 112.0),
    (112.0, -93.786, -18.214),
)
_OFFSET = (16.0, 128.0, 128.0)


def rgb_to_ycbcr(rgb: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """Convert RGB to YCbCr of BT.601, studio range, unrounded.

    Y = (16 + 65.481 R + 128.553 G + 24.966 B)/255
    Cb = (128 - 37.797 R - 74.203 G + 112 B)/255
    Cr = (128 + 112 R - 93.786 G - 18.214 B)/255

    Args:
        rgb: [..., 3] floating in [0, 1]; NumPy stays NumPy (and its precision), else JAX.
    Returns:
        [..., 3]; for RGB in [0, 1] Y lies in [16, 235]/255, Cb and Cr in [16, 240]/255.
    Raises:
        ValueError: another last axis, a dtype that is not floating.
    Source: MATLAB rgb2ycbcr on double images.
    """
    _check(rgb)
    xp = np if isinstance(rgb, np.ndarray) else jnp
    matrix = xp.asarray(_MATRIX, rgb.dtype)
    # Products and a sum, not a matmul: exact in float32 on every device.
    out = (rgb[..., None, :] * matrix).sum(-1)
    return (out + xp.asarray(_OFFSET, rgb.dtype)) / 255


def luma(rgb: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """Y of `rgb_to_ycbcr` alone, unrounded.

    Args:
        rgb: [..., 3] floating in [0, 1].
    Returns:
        [...], in [16, 235]/255 for RGB in [0, 1].
    Raises:
        ValueError: another last axis, a dtype that is not floating.
    Source: MATLAB rgb2ycbcr on double images.
    """
    _check(rgb)
    red, green, blue = _MATRIX[0]
    y = red * rgb[..., 0] + green * rgb[..., 1] + blue * rgb[..., 2]
    return (y + _OFFSET[0]) / 255


def luma_uint8(rgb: np.ndarray) -> np.ndarray:
    """Y of an 8-bit image, rounded half up: what MATLAB's rgb2ycbcr gives for uint8.

    Args:
        rgb: uint8 [..., 3].
    Returns:
        uint8 [...], 16..235.
    Raises:
        ValueError: another last axis or dtype.
    Source: MATLAB rgb2ycbcr on uint8 images.
    """
    if rgb.dtype != np.uint8:
        raise ValueError(f"luma_uint8 needs uint8 pixels, not {rgb.dtype}.")
    _check_axis(rgb)
    # Thousandths in integers: a sum that ends in a half must not depend on rounding errors.
    red, green, blue = (round(1000 * weight) for weight in _MATRIX[0])
    r, g, b = (rgb[..., k].astype(np.int64) for k in range(3))
    y = (red * r + green * g + blue * b + 127_500) // 255_000 + 16
    return y.astype(np.uint8)


def _check(rgb: jax.Array | np.ndarray) -> None:
    _check_axis(rgb)
    if not jnp.issubdtype(rgb.dtype, jnp.floating):
        raise ValueError(f"RGB must be floating in [0, 1], not {rgb.dtype}.")


def _check_axis(rgb: jax.Array | np.ndarray) -> None:
    if rgb.ndim < 1 or rgb.shape[-1] != 3:
        raise ValueError(f"RGB has a last axis of 3, not the shape {rgb.shape}.")
