"""MSRResNet, the SRResNet of BasicSR: no normalisation, and a bilinear skip over the whole network."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution, kaiming_normal, shuffle_factors
from jaxsr.ops.pixel_shuffle import pixel_shuffle

_GAIN = 0.1
_SLOPE = 0.1


class MSRResNet(nn.Module):
    """Modified SRResNet of BasicSR.

    x = lrelu(conv(lq)); `blocks` times x + conv(ReLU(conv(x))); per stage lrelu(PS(conv(x)));
    output conv(lrelu(conv(x))) + bilinear(lq). 3x3 everywhere, LeakyReLU 0.1; no convolution and no
    skip around the blocks. The bilinear enlargement is between pixel centres, edge clamped.

    lq [B,H,W,3] RGB in [0,1], any float dtype -> [B,sH,sW,3] float32, not clipped.
    `scale` is 2, 3 or 4 (ValueError otherwise). 1,517,571 parameters with the defaults (×4),
    1,554,499 (×3), 1,369,859 (×2). Kernels start Kaiming normal (fan_in) x 0.1, biases 0.
    Source: XPixelGroup/BasicSR 8d56e3a, basicsr/archs/srresnet_arch.py, MSRResNet.
    """

    features: int = 64
    blocks: int = 16
    scale: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no batch normalisation, no dropout
        factors = shuffle_factors(self.scale, known=(2, 3, 4))
        options = dict(kernel_init=kaiming_normal(_GAIN), dtype=self.dtype)
        x = nn.leaky_relu(convolution(self.features, 3, name="conv_first", **options)(lq), _SLOPE)
        for i in range(self.blocks):
            y = nn.relu(convolution(self.features, 3, name=f"body_{i}_conv1", **options)(x))
            x = x + convolution(self.features, 3, name=f"body_{i}_conv2", **options)(y)
        for i, factor in enumerate(factors, start=1):
            maps = self.features * factor**2
            x = convolution(maps, 3, name=f"upconv{i}", **options)(x)
            x = nn.leaky_relu(pixel_shuffle(x, factor, order="torch"), _SLOPE)
        x = nn.leaky_relu(convolution(self.features, 3, name="conv_hr", **options)(x), _SLOPE)
        x = convolution(3, 3, name="conv_last", **options)(x)
        b, h, w, c = lq.shape
        size = (b, self.scale * h, self.scale * w, c)
        return x.astype(jnp.float32) + jax.image.resize(lq.astype(jnp.float32), size, "linear")
