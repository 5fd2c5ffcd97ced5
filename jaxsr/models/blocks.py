"""Layers that several networks share, with every numeric default stated."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.ops.pixel_shuffle import pixel_shuffle


def variance_scaling(factor: float, fan: str, distribution: str) -> nn.initializers.Initializer:
    """Kernels of variance factor / fan: the numbers of Flax's initialiser of this name, to the bit.

    They are drawn as one vector, which XLA compiles several times faster on a CPU than four axes; most of
    the time until the first step of a network of many layers went there.
    fan: "fan_in", "fan_out" or "fan_avg" of a kernel [..., inputs, outputs]; distribution: "normal" (not
    truncated) or "uniform"
    """

    def draw(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        area, size = math.prod(shape[:-2]), (math.prod(shape),)
        inputs, outputs = area * shape[-2], area * shape[-1]
        fans = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}
        variance = jnp.array(factor / fans[fan], dtype)
        drawn = {
            "normal": lambda: jax.random.normal(key, size, dtype) * jnp.sqrt(variance),
            "uniform": lambda: jax.random.uniform(key, size, dtype, -1) * jnp.sqrt(3 * variance),
        }[distribution]()
        return drawn.reshape(shape)

    return draw


def normal(deviation: float) -> nn.initializers.Initializer:
    """Numbers of this standard deviation around 0: those of Flax's initialiser, drawn as one vector."""

    def draw(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        drawn = jax.random.normal(key, (math.prod(shape),), dtype) * jnp.array(deviation, dtype)
        return drawn.reshape(shape)

    return draw


def uniform(bound: float) -> nn.initializers.Initializer:
    """Numbers within ±bound, drawn as one vector."""

    def draw(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32, **_: Any) -> jax.Array:
        return jax.random.uniform(key, (math.prod(shape),), dtype, -bound, bound).reshape(shape)

    return draw


def kaiming_normal(factor: float) -> nn.initializers.Initializer:
    """Normal initialiser of standard deviation ``factor * sqrt(2 / fan_in)``, not truncated.

    Source: He et al. 2015, eq. 10 with a = 0; BasicSR scales it by 0.1 in generators.
    """
    return variance_scaling(2.0 * factor**2, "fan_in", "normal")


_KAIMING = kaiming_normal(1.0)
_TORCH_KERNEL = variance_scaling(1 / 3, "fan_in", "uniform")


def convolution(
    features: int,
    size: int,
    *,
    name: str,
    dtype: Any,
    kernel_init: nn.initializers.Initializer = _KAIMING,
    bias_init: nn.initializers.Initializer = nn.initializers.zeros,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> nn.Conv:
    """Square convolution, zero padding dilation * (size // 2) on every side unless said otherwise.

    Kernels start Kaiming normal (fan_in) and biases 0, again unless said. The padding is explicit
    because SAME pads strided convolutions on one side only, unlike every reference.
    """
    pad = dilation * (size // 2) if padding is None else padding
    return nn.Conv(
        features,
        (size, size),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        kernel_dilation=(dilation, dilation),
        feature_group_count=groups,
        use_bias=bias,
        kernel_init=kernel_init,
        bias_init=bias_init,
        dtype=dtype,
        param_dtype=jnp.float32,
        name=name,
    )


def convolving(by: Callable[..., jax.Array]) -> AbstractContextManager[None]:
    """Inside this context every `nn.Conv` of a network convolves with `by`, on the same parameters.

    by: with the arguments of `lax.conv_general_dilated`, as `ops.convolution` makes one
    What counts is where a network is traced, so a jitted function keeps what it was traced with.
    """

    def intercept(call: Callable[..., Any], args: tuple, kwargs: dict, context: Any) -> Any:
        module = context.module
        convolves = isinstance(module, nn.Conv) and context.method_name == "__call__"
        if not convolves or module.conv_general_dilated is not None:
            return call(*args, **kwargs)
        return module.clone(parent=module.scope, conv_general_dilated=by)(*args, **kwargs)

    return nn.intercept_methods(intercept)


def torch_conv(x: jax.Array, features: int, size: int, **options: Any) -> jax.Array:
    """`convolution` with PyTorch's start, applied to x: [B,H,W,C] -> [B,H,W,features] at stride 1.

    Kernel and bias start uniform within ±1/sqrt(fan_in), fan_in = size²·C/groups, which a layer
    that has not seen its input does not know. options: those of `convolution`, `name` and `dtype`
    among them.
    Called inside a compact module: the convolution becomes the caller's child `name`.
    Source: pytorch/pytorch torch/nn/modules/conv.py, reset_parameters.
    """
    fan_in = size * size * x.shape[-1] // options.get("groups", 1)
    starts = dict(kernel_init=_TORCH_KERNEL, bias_init=uniform(fan_in**-0.5))
    return convolution(features, size, **starts, **options)(x)


def torch_dense(x: jax.Array, features: int, *, name: str, dtype: Any) -> jax.Array:
    """Dense layer with PyTorch's start, as `torch_conv`: [B,I] -> [B,features]."""
    return nn.Dense(
        features,
        kernel_init=_TORCH_KERNEL,
        bias_init=uniform(x.shape[-1] ** -0.5),
        dtype=dtype,
        param_dtype=jnp.float32,
        name=name,
    )(x)


def shuffle_factors(scale: int, *, known: Sequence[int] = (2, 3, 4, 8)) -> tuple[int, ...]:
    """Factors of the pixel shuffles that make `scale`: ×2 as often as needed, or one ×3.

    2 -> (2,), 3 -> (3,), 4 -> (2, 2), 8 -> (2, 2, 2). ValueError for a scale not in `known`.
    Source: sanghyun-son/EDSR-PyTorch src/model/common.py, Upsampler.
    """
    if scale not in known:
        raise ValueError(f"scale must be one of {', '.join(map(str, known))}, not {scale}.")
    return (3,) if scale == 3 else (2,) * int(math.log2(scale))


def upsample_nearest(x: jax.Array, factor: int) -> jax.Array:
    """[B,H,W,C] -> [B,factor*H,factor*W,C], each pixel repeated `factor` times per axis."""
    return jnp.repeat(jnp.repeat(x, factor, axis=1), factor, axis=2)


def shuffle_stage(x: jax.Array, factor: int, *, name: str, gain: float, dtype: Any) -> jax.Array:
    """Conv 3x3 to C*factor^2 maps, PyTorch pixel shuffle, ReLU: [B,H,W,C] -> [B,fH,fW,C].

    Called inside a compact module: the convolution becomes the caller's child `name`.
    Source: Shi et al. 2016; BasicSR before v1.0, codes/models/modules/block.py.
    """
    channels = x.shape[-1] * factor**2
    x = convolution(channels, 3, name=name, kernel_init=kaiming_normal(gain), dtype=dtype)(x)
    return nn.relu(pixel_shuffle(x, factor, order="torch"))


def batch_norm(
    *, train: bool, name: str, dtype: Any, momentum: float = 0.9, epsilon: float = 1e-5
) -> nn.BatchNorm:
    """Batch normalisation, with PyTorch's numbers unless said: momentum 0.9 (0.1 in its convention).

    The running variance is the biased estimate here and the unbiased one in PyTorch.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=momentum,
        epsilon=epsilon,
        scale_init=nn.initializers.ones,
        bias_init=nn.initializers.zeros,
        # E[x^2] - E[x]^2 cancels in float32; PyTorch makes two passes
        use_fast_variance=False,
        dtype=dtype,
        param_dtype=jnp.float32,
        name=name,
    )


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
    kernel_init: nn.initializers.Initializer = normal(0.001)
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
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
            bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
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
