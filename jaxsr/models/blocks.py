"""Layers that several networks share, with every numeric default stated."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.ops.pixel_shuffle import pixel_shuffle


def kaiming_normal(factor: float) -> nn.initializers.Initializer:
    """Normal initialiser of standard deviation ``factor * sqrt(2 / fan_in)``, not truncated.

    Source: He et al. 2015, eq. 10 with a = 0; BasicSR scales it by 0.1 in generators.
    """
    return nn.initializers.variance_scaling(2.0 * factor**2, "fan_in", "normal")


def convolution(
    features: int,
    size: int,
    *,
    name: str,
    factor: float,
    dtype: Any,
    stride: int = 1,
    padding: int | None = None,
    bias: bool = True,
) -> nn.Conv:
    """Square convolution, zero padding `size // 2` on every side unless said, bias starts at 0.

    `factor` scales the Kaiming normal kernel (0.1 in generators, 1 elsewhere). The padding is
    explicit because SAME pads strided convolutions on one side only, unlike every reference.
    """
    pad = size // 2 if padding is None else padding
    return nn.Conv(
        features,
        (size, size),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        use_bias=bias,
        kernel_init=kaiming_normal(factor),
        bias_init=nn.initializers.zeros,
        dtype=dtype,
        param_dtype=jnp.float32,
        name=name,
    )


def upsample_nearest(x: jax.Array, factor: int) -> jax.Array:
    """[B,H,W,C] -> [B,factor*H,factor*W,C], each pixel repeated `factor` times per axis."""
    return jnp.repeat(jnp.repeat(x, factor, axis=1), factor, axis=2)


def shuffle_stage(x: jax.Array, factor: int, *, name: str, gain: float, dtype: Any) -> jax.Array:
    """Conv 3x3 to C*factor^2 maps, PyTorch pixel shuffle, ReLU: [B,H,W,C] -> [B,fH,fW,C].

    Called inside a compact module: the convolution becomes the caller's child `name`.
    Source: Shi et al. 2016; BasicSR before v1.0, codes/models/modules/block.py.
    """
    channels = x.shape[-1] * factor**2
    x = convolution(channels, 3, name=name, factor=gain, dtype=dtype)(x)
    return nn.relu(pixel_shuffle(x, factor, order="torch"))
