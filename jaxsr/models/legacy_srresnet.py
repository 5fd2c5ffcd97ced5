"""The residual super-resolution network of early BasicSR, parent of the SFT-GAN generator."""

from collections.abc import Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution, kaiming_normal, shuffle_factors, shuffle_stage

GENERATOR_GAIN = 0.1  # BasicSR scales the Kaiming kernels of generators by 0.1


class _Residual(nn.Module):
    """x + conv(ReLU(conv(x))), 3x3, no normalisation, residual scale 1."""

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        options = dict(kernel_init=kaiming_normal(GENERATOR_GAIN), dtype=self.dtype)
        y = nn.relu(convolution(self.features, 3, name="res_0", **options)(x))
        return x + convolution(self.features, 3, name="res_2", **options)(y)


class LegacySRResNet(nn.Module):
    """SRResNet without batch normalisation (Conv-ReLU-Conv blocks, pixel shuffle).

    F0 = conv(lq); F = F0 + conv(block_n(...block_1(F0))); each upsampling stage is
    ReLU(PS(conv(F))); output conv(ReLU(conv(F))). No bilinear skip, no final activation.

    lq [B,H,W,3] RGB in [0,1], any float dtype -> [B,sH,sW,3] float32, not clipped.
    `scale` is 2, 3, 4 or 8 (ValueError otherwise). 1,554,499 parameters with the defaults.
    Kernels start Kaiming normal (fan_in) x 0.1, biases 0; `outer_gain` replaces the 0.1 outside
    the residual blocks (1.0 starts to learn at once, as in BasicSR since 2019). Parameter names are the
    published ones with the dots before digits as underscores: model_1/sub_3/res_0 is model.1.sub.3.res.0.

    Source: XPixelGroup/BasicSR 9fd09d4, codes/models/modules/architecture.py, SRResNet with
    norm_type None, act_type relu, mode CNA, upsample_mode pixelshuffle.
    """

    features: int = 64
    blocks: int = 16
    scale: int = 4
    outer_gain: float = GENERATOR_GAIN
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no batch normalisation, no dropout
        factors = shuffle_factors(self.scale)
        options = dict(kernel_init=kaiming_normal(self.outer_gain), dtype=self.dtype)
        first = convolution(self.features, 3, name="model_0", **options)(lq)
        trunk = _Trunk(self.features, self.blocks, self.outer_gain, self.dtype, name="model_1")
        x = trunk(first) + first
        return reconstruction(x, factors, gain=self.outer_gain, dtype=self.dtype)


class _Trunk(nn.Module):
    """The residual blocks and the convolution that ends them; the caller adds the long skip."""

    features: int
    blocks: int
    gain: float
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = residual_blocks(x, range(self.blocks), dtype=self.dtype)
        options = dict(kernel_init=kaiming_normal(self.gain), dtype=self.dtype)
        return convolution(self.features, 3, name=f"sub_{self.blocks}", **options)(x)


def residual_blocks(x: jax.Array, places: Iterable[int], *, dtype: Any) -> jax.Array:
    """The residual blocks of these places, one after the other: [B,H,W,C] -> [B,H,W,C].

    Called inside a compact module: the blocks become the caller's children sub_0, sub_1, …
    """
    for place in places:
        x = _Residual(x.shape[-1], dtype, name=f"sub_{place}")(x)
    return x


def reconstruction(x: jax.Array, factors: Sequence[int], *, gain: float, dtype: Any) -> jax.Array:
    """Upsampling stages and two convolutions: [B,H,W,C] -> float32 [B,sH,sW,3], s the product of factors.

    Called inside a compact module: the convolutions become the caller's children model_2, …
    """
    index, features = 2, x.shape[-1]
    options = dict(kernel_init=kaiming_normal(gain), dtype=dtype)
    for factor in factors:
        x = shuffle_stage(x, factor, name=f"model_{index}", gain=gain, dtype=dtype)
        index += 3  # the published sequence counts convolution, shuffle and ReLU
    x = nn.relu(convolution(features, 3, name=f"model_{index}", **options)(x))
    return convolution(3, 3, name=f"model_{index + 2}", **options)(x).astype(jnp.float32)
