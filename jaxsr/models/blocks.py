"""Layers that several networks share, with every numeric default stated."""

from collections.abc import Sequence
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
    groups: int = 1,
    bias: bool = True,
    kernel_init: nn.initializers.Initializer | None = None,
) -> nn.Conv:
    """Square convolution, zero padding `size // 2` on every side unless said, bias starts at 0.

    `factor` scales the Kaiming normal kernel (0.1 in generators, 1 elsewhere); `kernel_init` takes
    its place where a paper draws otherwise. The padding is explicit because SAME pads strided
    convolutions on one side only, unlike every reference.
    """
    pad = size // 2 if padding is None else padding
    return nn.Conv(
        features,
        (size, size),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        feature_group_count=groups,
        use_bias=bias,
        kernel_init=kernel_init or kaiming_normal(factor),
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


def batch_norm(*, train: bool, name: str, dtype: Any, epsilon: float = 1e-5) -> nn.BatchNorm:
    """Batch normalisation with PyTorch's numbers: momentum 0.9 (0.1 in its convention), epsilon 1e-5.

    The running variance is the biased estimate here and the unbiased one in PyTorch.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=epsilon,
        scale_init=nn.initializers.ones,
        bias_init=nn.initializers.zeros,
        # E[x^2] - E[x]^2 cancels in float32; PyTorch makes two passes
        use_fast_variance=False,
        dtype=dtype,
        param_dtype=jnp.float32,
        name=name,
    )


class PReLU(nn.Module):
    """max(x, 0) + a·min(x, 0), a trained from 0.25: one per channel, or one alone with `shared`.

    [..., C] -> [..., C]. Parameter `slope`, [C] or [1].
    Source: He et al. 2015, arXiv:1502.01852; PyTorch's start value.
    """

    shared: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (1,) if self.shared else (x.shape[-1],)
        slope = self.param("slope", nn.initializers.constant(0.25), shape, jnp.float32)
        x = x.astype(self.dtype)
        return jnp.where(x >= 0, x, slope.astype(self.dtype) * x)


class TransposedConv(nn.Module):
    """Transposed convolution: y[s·i + k - crop] += w[k]·x[i], cropped on each side as said.

    [B,H,W,I] -> [B, s(H-1) + size - top - bottom, s(W-1) + size - left - right, features], with
    s the stride. PyTorch's padding p and output_padding q are crop ((p, p-q), (p, p-q)).
    Parameters `kernel` [size,size,I,features], **flipped on both spatial axes** against the
    formula (it is the kernel of the convolution over the input spread by zeros), and `bias`.
    Source: the layout rules of Dumoulin and Visin, arXiv:1603.07285, section 4.
    """

    features: int
    size: int
    stride: int
    crop: Sequence[Sequence[int]]  # ((top, bottom), (left, right))
    bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.001)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            window_strides=(1, 1),
            padding=[(self.size - 1 - a, self.size - 1 - b) for a, b in self.crop],
            lhs_dilation=(self.stride, self.stride),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        if self.bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype)
        return y


class EdgePad(nn.Module):
    """Repeats the edge `width` times on every side: [B,H,W,C] -> [B,H+2·width,W+2·width,C].

    A module, though without parameters, so that tiled inference can put the edge of the image in the
    place of the edge of a tile. A convolution without padding follows it.
    """

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        ends = (self.width, self.width)
        return jnp.pad(x, ((0, 0), ends, ends, (0, 0)), mode="edge")
