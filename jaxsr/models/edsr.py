"""EDSR: wide residual blocks without normalisation, on mean-shifted levels."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import shuffle_factors, torch_conv
from jaxsr.ops.pixel_shuffle import pixel_shuffle

MEAN = (0.4488, 0.4371, 0.4040)  # RGB mean of the DIV2K training images


class EDSR(nn.Module):
    """Enhanced deep residual network.

    x = rgb_range·(lq - mean); h = conv(x); `blocks` times y + residual_scale·conv(ReLU(conv(y)));
    h + conv(y); per stage PS(conv); conv to RGB, / rgb_range + mean. 3x3 everywhere, no activation
    but the ReLU inside the blocks. A network of zeros gives the mean colour.

    lq [B,H,W,3] RGB in [0,1], any float dtype -> [B,sH,sW,3] float32, not clipped.
    `scale` is 2, 3, 4 or 8 (ValueError otherwise). Defaults: EDSR of the paper, 40,729,603 (×2),
    43,680,003 (×3), 43,089,923 (×4) parameters. The baseline has features 64, blocks 16,
    residual_scale 1: 1,369,859, 1,554,499, 1,517,571. The reference's state has 24 more, of its mean
    shifts. Start: PyTorch's default, uniform ±1/sqrt(fan_in).
    Source: arXiv:1707.02921 section 3; sanghyun-son/EDSR-PyTorch src/model/edsr.py;
    XPixelGroup/BasicSR basicsr/archs/edsr_arch.py.
    """

    features: int = 256
    blocks: int = 32
    scale: int = 4
    residual_scale: float = 0.1
    rgb_range: float = 255.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no batch normalisation, no dropout
        factors = shuffle_factors(self.scale)
        f, dtype = self.features, self.dtype
        mean = jnp.asarray(MEAN, jnp.float32)
        # the shift is in float32: bfloat16 has steps of 1 above 128
        x = (lq.astype(jnp.float32) - mean) * self.rgb_range
        first = x = torch_conv(x, f, 3, name="conv_first", dtype=dtype)
        for i in range(self.blocks):
            y = nn.relu(torch_conv(x, f, 3, name=f"body_{i}_conv1", dtype=dtype))
            y = torch_conv(y, f, 3, name=f"body_{i}_conv2", dtype=dtype)
            x = x + self.residual_scale * y
        x = first + torch_conv(x, f, 3, name="conv_after_body", dtype=dtype)
        for i, factor in enumerate(factors):
            x = torch_conv(x, f * factor**2, 3, name=f"upsample_{i}", dtype=dtype)
            x = pixel_shuffle(x, factor, order="torch")
        x = torch_conv(x, 3, 3, name="conv_last", dtype=dtype)
        return x.astype(jnp.float32) / self.rgb_range + mean
