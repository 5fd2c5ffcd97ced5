"""RRDBNet, the generator of ESRGAN: residual-in-residual dense blocks."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution, kaiming_normal, torch_conv, upsample_nearest
from jaxsr.ops.pixel_shuffle import pixel_unshuffle

_GAIN = 0.1
_SLOPE = 0.2
_RESIDUAL = 0.2
_UNSHUFFLE = {1: 4, 2: 2, 4: 1}


class RRDBNet(nn.Module):
    """Generator of ESRGAN.

    F0 = conv(lq); F = F0 + conv(RRDB_n(…RRDB_1(F0))); twice lrelu(conv(nearest ×2)); output
    conv(lrelu(conv(F))). Dense block: x_k = lrelu(conv([x, x_1…x_{k-1}])) to `growth` maps, k = 1…4,
    out = x + 0.2·conv([x, x_1…x_4]). RRDB: x + 0.2·(three dense blocks of x): 1.2·x where they
    are zero, since a dense block holds its input. 3x3, LeakyReLU 0.2, no final activation.

    lq [B,H,W,3] RGB in [0,1], any float dtype -> [B,sH,sW,3] float32, not clipped.
    `scale` 4; or 2 and 1, which first move blocks of 2x2 and 4x4 pixels into channels and enlarge
    the rest by 4 all the same (ValueError otherwise). A size that the block does not divide gets its
    bottom and right edge repeated, and the output is cut; the reference refuses it.
    16,697,987 parameters with the defaults, 16,703,171 (×2), 16,723,907 (×1).
    Kernels of the dense blocks start Kaiming normal (fan_in) x 0.1, biases 0; the others as
    PyTorch's default, uniform ±1/sqrt(fan_in).
    Source: arXiv:1809.00219 section 3.1; XPixelGroup/BasicSR 8d56e3a,
    basicsr/archs/rrdbnet_arch.py.
    """

    features: int = 64
    blocks: int = 23
    growth: int = 32
    scale: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no batch normalisation, no dropout
        if self.scale not in _UNSHUFFLE:
            raise ValueError(f"scale must be one of 1, 2, 4, not {self.scale}.")
        f, dtype = self.features, self.dtype
        h, w = lq.shape[1:3]
        x = torch_conv(_fold(lq, _UNSHUFFLE[self.scale]), f, 3, name="conv_first", dtype=dtype)
        first = x
        for i in range(self.blocks):
            x = _RRDB(f, self.growth, dtype, name=f"body_{i}")(x)
        x = first + torch_conv(x, f, 3, name="conv_body", dtype=dtype)
        for name in ("conv_up1", "conv_up2"):
            x = torch_conv(upsample_nearest(x, 2), f, 3, name=name, dtype=dtype)
            x = nn.leaky_relu(x, _SLOPE)
        x = nn.leaky_relu(torch_conv(x, f, 3, name="conv_hr", dtype=dtype), _SLOPE)
        x = torch_conv(x, 3, 3, name="conv_last", dtype=dtype)
        return x[:, : self.scale * h, : self.scale * w].astype(jnp.float32)


def _fold(lq: jax.Array, factor: int) -> jax.Array:
    """[B,H,W,C] -> [B,ceil(H/factor),ceil(W/factor),C·factor²], the edge repeated where needed."""
    if factor == 1:
        return lq
    h, w = lq.shape[1:3]
    lq = jnp.pad(lq, ((0, 0), (0, -h % factor), (0, -w % factor), (0, 0)), mode="edge")
    return pixel_unshuffle(lq, factor, order="torch")


class _RRDB(nn.Module):
    """x + 0.2 times three dense blocks of x."""

    features: int
    growth: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = x
        for j in (1, 2, 3):
            y = _DenseBlock(self.features, self.growth, self.dtype, name=f"rdb{j}")(y)
        return x + _RESIDUAL * y


class _DenseBlock(nn.Module):
    """x + 0.2 times five convolutions, each of everything before it."""

    features: int
    growth: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        options = dict(kernel_init=kaiming_normal(_GAIN), dtype=self.dtype)
        seen = x.astype(self.dtype)
        for k in (1, 2, 3, 4):
            y = convolution(self.growth, 3, name=f"conv{k}", **options)(seen)
            seen = jnp.concatenate([seen, nn.leaky_relu(y, _SLOPE)], axis=-1)
        return x + _RESIDUAL * convolution(self.features, 3, name="conv5", **options)(seen)
