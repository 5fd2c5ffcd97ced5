"""VDSR: twenty convolutions that draw what the bicubic image lacks."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution, normal
from jaxsr.ops.resize import resize


class VDSR(nn.Module):
    """x + conv_depth(ReLU(...ReLU(conv_1(x)))), all 3x3, on the bicubically enlarged image x.

    lq [B,H,W,channels] in [0,1] -> [B,sH,sW,channels] float32, not clipped; Y of BT.601 for one
    channel, RGB for three. With `scale` > 1 the image is enlarged bicubically first (clamped
    border); with 1 the caller has done so. One set of weights serves x2, x3 and x4.

    Kernels start N(0, 2/(9·features)), biases 0. 665,921 parameters; 664,704 without `bias`.
    Source: Kim et al., arXiv:1511.04587, section 3; huangzehao/caffe-vdsr (with biases);
    twtygqyy/pytorch-vdsr vdsr.py (without).
    """

    depth: int = 20
    features: int = 64
    channels: int = 1
    bias: bool = True
    scale: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        lq = lq.astype(jnp.float32)
        if self.scale > 1:
            lq = resize(lq, self.scale, border="clamp")
        hidden = [f"residual_layer_{i}" for i in range(self.depth - 2)]
        options = dict(
            bias=self.bias,
            kernel_init=normal(math.sqrt(2 / (9 * self.features))),
            dtype=self.dtype,
        )
        x = lq
        for name in ("input", *hidden):
            x = nn.relu(convolution(self.features, 3, name=name, **options)(x))
        x = convolution(self.channels, 3, name="output", **options)(x)
        return lq + x.astype(jnp.float32)
