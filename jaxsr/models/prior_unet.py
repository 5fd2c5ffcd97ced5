"""The U-Net that Deep Image Prior compares its hourglass with."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import TransposedConv, instance_norm, uniform
from jaxsr.models.skip_net import ENLARGE, padded_conv
from jaxsr.types import UserError


class PriorUNet(nn.Module):
    """A U-Net with zero padding: [1,H,W,C] code -> [1,H,W,outputs] image in (0, 1).

    Contracting: `start`, `down1` … (max-pool by two, then two 3×3 convolutions, normalised, ReLU), and
    with `deeper` one more of the same width; expanding: `up…` (twice the size, joined with the encoder's
    map, which is cropped in the middle where it is larger, two 3×3 convolutions, ReLU, no normalisation);
    1×1, sigmoid.

    widths: of the scales, finest first
    deeper: a further scale, as wide as the last
    scale_and_shift: normalisation of each map has them (the reference's batch normalisation) or not (its
            instance normalisation)
    enlarge: `deconv` (transposed 4×4), `nearest` or `bilinear` and then a 3×3 convolution
    1,616,315 parameters with widths 8 to 128, deeper, 1 channel in and 3 out.
    Source: arXiv:1711.10925, figure 8; DmitryUlyanov/deep-image-prior 042e0d4, models/unet.py.
    """

    outputs: int
    widths: Sequence[int] = (8, 16, 32, 64, 128)
    deeper: bool = True
    scale_and_shift: bool = False
    enlarge: str = "deconv"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, code: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        widths = [*self.widths] + ([self.widths[-1]] if self.deeper else [])
        height, width = code.shape[1:3]
        if min(height, width) < 2 ** (len(widths) - 1):
            raise UserError(
                f"a PriorUNet halves {len(widths) - 1} times, and the image has {width}×{height} pixels: "
                "take a larger crop, or fewer widths."
            )
        x, seen = self._pair(code, "start", widths[0], normalise=True), []
        for number, width in enumerate(widths[1:], start=1):
            seen.append(x)
            x = self._pair(nn.max_pool(x, (2, 2), (2, 2)), f"down{number}", width, normalise=True)
        for number in range(len(seen), 0, -1):
            width, x = widths[number - 1], self._doubled(x, f"up{number}", widths[number - 1])
            x = jnp.concatenate([x, _middle(seen[number - 1], x.shape)], -1)
            x = self._pair(x, f"up{number}", width, normalise=False)
        x = padded_conv(x, self.outputs, 1, pad="zero", name="output", dtype=self.dtype)
        return nn.sigmoid(x.astype(jnp.float32))

    def _pair(self, x: jax.Array, name: str, features: int, *, normalise: bool) -> jax.Array:
        for number in (1, 2):
            where = f"{name}_conv{number}"
            x = padded_conv(x, features, 3, pad="zero", name=where, dtype=self.dtype)
            if normalise and self.scale_and_shift:
                x = instance_norm(name=f"{name}_norm{number}", dtype=self.dtype)(x)
            elif normalise:
                x = _normalised(x)
            x = nn.relu(x)
        return x

    def _doubled(self, x: jax.Array, name: str, features: int) -> jax.Array:
        if self.enlarge != "deconv":
            x = ENLARGE[self.enlarge](x)
            return padded_conv(x, features, 3, pad="zero", name=f"{name}_enlarge", dtype=self.dtype)
        # PyTorch counts the outputs of a transposed convolution as its fan-in
        draw = uniform((features * 16) ** -0.5)
        return TransposedConv(
            features, 4, 2, crop=((1, 1), (1, 1)), kernel_init=draw, bias_init=draw, dtype=self.dtype,
            name=f"{name}_enlarge",
        )(x)  # fmt: skip


def _middle(x: jax.Array, shape: Sequence[int]) -> jax.Array:
    """The middle of x at another map's size."""
    top, left = (x.shape[1] - shape[1]) // 2, (x.shape[2] - shape[2]) // 2
    return x[:, top : top + shape[1], left : left + shape[2]]


def _normalised(x: jax.Array) -> jax.Array:
    """Each map of each image with mean 0 and deviation 1, epsilon 1e-5."""
    wide = x.astype(jnp.float32)
    mean = wide.mean((1, 2), keepdims=True)
    variance = jnp.square(wide - mean).mean((1, 2), keepdims=True)
    return ((wide - mean) * jax.lax.rsqrt(variance + 1e-5)).astype(x.dtype)
