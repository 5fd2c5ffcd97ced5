"""LapSRN and MS-LapSRN: a Laplacian pyramid that doubles the image level by level."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import TransposedConv, convolution, normal

_LEVELS = {2: 1, 4: 2, 8: 3}
_SKIPS = ("SS", "DS", "NS")
_SLOPE = 0.2


def bilinear_kernel(
    key: jax.Array, shape: tuple[int, int, int, int], dtype: Any = jnp.float32
) -> jax.Array:
    """Starts a transposed 4x4 convolution of stride 2 as bilinear enlargement, channel by channel.

    (¼, ¾, ¾, ¼) ⊗ (¼, ¾, ¾, ¼); deterministic, `key` is not used.
    shape: (4, 4, C, C) -> array of that shape, zero between different channels.
    Source: phoenix104104/LapSRN utils/bilinear_kernel.m.
    """
    del key
    line = jnp.array([0.25, 0.75, 0.75, 0.25], dtype)
    return jnp.outer(line, line)[:, :, None, None] * jnp.eye(shape[2], dtype=dtype)


class LapSRN(nn.Module):
    """Per level: `depth` convolutions, features x2, a residual image added to the image x2.

    lq [B,H,W,channels] in [0,1] -> [B,sH,sW,channels] float32, not clipped.

    scale: 2, 4 or 8 (ValueError otherwise; x3 does not exist as a pyramid)
    depth: convolutions 3x3 per level: 10, but 5 in the released x8
    Leaky ReLU 0.2. Features are enlarged by a transposed 3x3 convolution of which the first 2H rows
    of 2H + 1 are kept (a symmetric crop moves the result by half a pixel and costs 9 dB); the image
    by a transposed 4x4 one, cropped by one on every side, that starts bilinear and is learned. The
    first level has the highest number, as in the released files.
    Kernels start N(0, 2/(9·features)), the first N(0, 0.001²), biases 0. One channel: 407,441
    parameters (x2), 814,242 (x4).
    Source: Lai et al., arXiv:1704.03915, section 3; phoenix104104/LapSRN.
    """

    scale: int = 4
    depth: int = 10
    features: int = 64
    channels: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        image = lq.astype(jnp.float32)
        layers = _layers(self.features, self.dtype)
        x = _leaky(_first(self.features, self.dtype)(image))
        for level in range(_levels(self.scale), 0, -1):
            for i in range(1, self.depth + 1):
                x = _leaky(convolution(self.features, 3, name=f"level{level}_conv{i}", **layers)(x))
            x = _leaky(_double(self.features, self.dtype, name=f"level{level}_upconv")(x))
            residual = convolution(self.channels, 3, name=f"level{level}_residual_conv", **layers)(
                x
            )
            image = _double_image(self.channels, self.dtype, name=f"level{level}_img_up")(image)
            image = image.astype(jnp.float32) + residual.astype(jnp.float32)
        return image


class MSLapSRN(nn.Module):
    """LapSRN with one set of weights for all levels and recursions.

    Per level, from its input u: b = u; `recursions` times b = block(b) + skip, where block is `depth`
    times [leaky ReLU, conv 3x3]; then u' = enlarge(leaky(b)); image' = double(image) + conv(u').

    lq [B,H,W,channels] in [0,1] -> [B,sH,sW,channels] float32, not clipped.

    scale:      2, 4 or 8 (ValueError otherwise), with the same weights
    recursions: 2, 5 or 8 published; the weights do not tell which
    skip:       `SS` adds the level's input u (the released networks), `DS` the block's own input,
                `NS` nothing (ValueError otherwise)
    Alignment and initialisers as LapSRN. One channel: 222,801 parameters whatever the recursions.
    Source: Lai et al., arXiv:1710.01992, section 3.3; phoenix104104/LapSRN init_MSLapSRN_model.m.
    """

    scale: int = 4
    recursions: int = 8
    depth: int = 5
    skip: str = "SS"
    features: int = 64
    channels: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        if self.skip not in _SKIPS:
            raise ValueError(f"skip must be one of {', '.join(_SKIPS)}, not {self.skip!r}.")
        layers = _layers(self.features, self.dtype)
        block = [
            convolution(self.features, 3, name=f"conv{i}", **layers)
            for i in range(1, self.depth + 1)
        ]
        double = _double(self.features, self.dtype, name="upconv")
        double_image = _double_image(self.channels, self.dtype, name="img_up")
        residual = convolution(self.channels, 3, name="residual_conv", **layers)
        image = lq.astype(jnp.float32)
        level = _first(self.features, self.dtype)(image)
        for _ in range(_levels(self.scale)):
            x = level
            for _ in range(self.recursions):
                skip = {"SS": level, "DS": x, "NS": 0}[self.skip]
                for layer in block:
                    x = layer(_leaky(x))
                x = x + skip
            level = double(_leaky(x))
            image = double_image(image).astype(jnp.float32) + residual(level).astype(jnp.float32)
        return image


def _levels(scale: int) -> int:
    if scale not in _LEVELS:
        raise ValueError(f"scale must be one of {sorted(_LEVELS)}, not {scale}.")
    return _LEVELS[scale]


def _leaky(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, _SLOPE)


def _start(features: int) -> nn.initializers.Initializer:
    return normal(math.sqrt(2 / (9 * features)))


def _layers(features: int, dtype: Any) -> dict[str, Any]:
    """Options of the 3x3 convolutions."""
    return dict(kernel_init=_start(features), dtype=dtype)


def _first(features: int, dtype: Any) -> nn.Conv:
    """The convolution that reads the image."""
    options = dict(kernel_init=normal(0.001), dtype=dtype)
    return convolution(features, 3, name="input_conv", **options)


def _double(features: int, dtype: Any, *, name: str) -> TransposedConv:
    """Features twice as large: out[2i + k] += w[k]·x[i], the first 2H rows and columns kept."""
    return TransposedConv(
        features,
        size=3,
        stride=2,
        crop=((0, 1), (0, 1)),
        kernel_init=_start(features),
        dtype=dtype,
        name=name,
    )


def _double_image(channels: int, dtype: Any, *, name: str) -> TransposedConv:
    """The image twice as large, pixel centres kept."""
    return TransposedConv(
        channels,
        size=4,
        stride=2,
        crop=((1, 1), (1, 1)),
        bias=False,
        kernel_init=bilinear_kernel,
        dtype=dtype,
        name=name,
    )
