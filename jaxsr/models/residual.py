"""What the residual networks share: PyTorch's default layers and the stages of pixel shuffle."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

_TORCH_KERNEL = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def stages(scale: int, *, known: Sequence[int] = (2, 3, 4, 8)) -> tuple[int, ...]:
    """Factors of the pixel shuffles that make `scale`: ×2 as often as needed, or one ×3.

    2 -> (2,), 3 -> (3,), 4 -> (2, 2), 8 -> (2, 2, 2). ValueError for a scale not in `known`.
    Source: sanghyun-son/EDSR-PyTorch src/model/common.py, Upsampler.
    """
    if scale not in known:
        raise ValueError(f"scale must be one of {', '.join(map(str, known))}, not {scale}.")
    return (3,) if scale == 3 else (2,) * int(math.log2(scale))


def torch_conv(
    x: jax.Array,
    features: int,
    size: int,
    *,
    name: str,
    dtype: Any,
    stride: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> jax.Array:
    """Convolution with zero padding `size // 2` and PyTorch's default start, applied to x.

    [B,H,W,C] -> [B,ceil(H/stride),…,features] for an odd size (with size 4, stride 2: floor(H/2)).
    Kernel and bias start uniform within ±1/sqrt(fan_in), fan_in = size²·C/groups.
    Called inside a compact module: the convolution becomes the caller's child `name`.
    Source: pytorch/pytorch torch/nn/modules/conv.py, reset_parameters.
    """
    # every 4x4 convolution of this family halves the size
    pad = 1 if size == 4 else size // 2
    return nn.Conv(
        features,
        (size, size),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        feature_group_count=groups,
        use_bias=bias,
        kernel_init=_TORCH_KERNEL,
        bias_init=_uniform(size * size * x.shape[-1] // groups),
        dtype=dtype,
        param_dtype=jnp.float32,
        name=name,
    )(x)


def torch_dense(x: jax.Array, features: int, *, name: str, dtype: Any) -> jax.Array:
    """Dense layer with PyTorch's default start, as `torch_conv`: [B,I] -> [B,features]."""
    return nn.Dense(
        features,
        kernel_init=_TORCH_KERNEL,
        bias_init=_uniform(x.shape[-1]),
        dtype=dtype,
        param_dtype=jnp.float32,
        name=name,
    )(x)


def instance_norm(*, name: str, dtype: Any) -> nn.InstanceNorm:
    """Normalisation of each map of each image by itself, epsilon 1e-5, with scale and bias.

    It has no running statistics: the value of a pixel depends on the whole image.
    Source: Ulyanov et al., arXiv:1607.08022; PyTorch's epsilon (Flax: 1e-6).
    """
    return nn.InstanceNorm(
        epsilon=1e-5,
        use_fast_variance=False,
        scale_init=nn.initializers.ones,
        bias_init=nn.initializers.zeros,
        dtype=dtype,
        param_dtype=jnp.float32,
        name=name,
    )


def _uniform(fan_in: int) -> nn.initializers.Initializer:
    """Uniform within ±1/sqrt(fan_in)."""
    bound = fan_in**-0.5

    def draw(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32, **_: Any) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw
