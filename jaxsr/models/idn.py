"""IDN: information distillation blocks and a wide transposed convolution."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import TransposedConv, convolution, variance_scaling
from jaxsr.ops.resize import resize

_GROUPS = 4
_SLOPE = 0.05
_SIZE = 17


class IDN(nn.Module):
    """bicubic(lq) + deconv(four distillation blocks(two convolutions(lq))).

    lq [B,H,W,channels] in [0,1] -> [B,sH,sW,channels] float32, not clipped. Bicubic with clamped
    border.

    Block, with q = features/4: three convolutions 3x3 to 3q, 2q (grouped by 4) and 4q maps; the first
    q of these are kept aside, the other 3q pass three more, to 4q, 3q (grouped) and 5q maps; plus
    [block input, the q kept aside]; then 1x1 to 4q. Leaky ReLU 0.05 after every convolution.
    The transposed 17x17 convolution has stride s. The published code gives it padding 8, hence
    s(H - 1) + 1 rows, and drops the first s - 1 rows and columns of the image; here the same kernel
    reaches these too, so that the output has sH rows. From row and column s - 1 on both are equal.

    scale: 2, 3 or 4 published, at most 9 (ValueError beyond: the crop ends there)
    features: 64 published; a multiple of 16
    Kernels start N(0, 2/fan_in), the last N(0, 4/(fan_in + fan_out)), biases 0. One channel: 552,769
    parameters at every scale.
    Source: Hui et al., arXiv:1803.09454, section 3; Zheng222/IDN-Caffe test/IDN_x4_deploy.prototxt
    and test/test_IDN.m.
    """

    scale: int = 4
    features: int = 64
    channels: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        if not 2 <= self.scale <= 9:
            raise ValueError(f"scale must be 2 to 9 (published: 2, 3, 4), not {self.scale}.")
        if self.features % 16:
            raise ValueError(f"features must be a multiple of 16, not {self.features}.")
        lq = lq.astype(jnp.float32)
        x = lq
        for name in ("conv1", "conv2"):
            x = self._layer(x, self.features, name)
        for block in range(1, 5):
            x = self._block(x, block)
        crop = (_SIZE // 2 + 1 - self.scale, _SIZE // 2)
        x = TransposedConv(
            self.channels,
            size=_SIZE,
            stride=self.scale,
            crop=(crop, crop),
            kernel_init=variance_scaling(2.0, "fan_avg", "normal"),
            dtype=self.dtype,
            name="upsample",
        )(x)
        return resize(lq, self.scale, border="clamp") + x.astype(jnp.float32)

    def _layer(
        self, x: jax.Array, width: int, name: str, *, size: int = 3, groups: int = 1
    ) -> jax.Array:
        options = dict(name=name, groups=groups, dtype=self.dtype)
        return nn.leaky_relu(convolution(width, size, **options)(x), _SLOPE)

    def _block(self, x: jax.Array, block: int) -> jax.Array:
        """Enhancement and compression unit `block`, 1 to 4: [B,H,W,features] -> the same."""
        q = self.features // 4
        name = f"conv{block + 2}"  # the published numbers go on from the first two convolutions
        y = self._layer(x, 3 * q, f"{name}_1")
        y = self._layer(y, 2 * q, f"{name}_2", groups=_GROUPS)
        y = self._layer(y, 4 * q, f"{name}_3")
        aside, y = y[..., :q], y[..., q:]
        y = self._layer(y, 4 * q, f"{name}_4")
        y = self._layer(y, 3 * q, f"{name}_5", groups=_GROUPS)
        y = self._layer(y, 5 * q, f"{name}_6")
        y = y + jnp.concatenate([x, aside], axis=-1)
        return self._layer(y, 4 * q, f"down{block}", size=1)
