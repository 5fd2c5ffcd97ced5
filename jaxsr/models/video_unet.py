"""Deep Video Prior's network: a U-Net without normalisation, fitted to one clip."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution, variance_scaling
from jaxsr.ops.upsample import double
from jaxsr.types import UserError

SCALES = 4


class VideoUNet(nn.Module):
    """[B,H,W,3] in [0, 1] -> [B,H,W,outputs], not bounded; H and W multiples of 16.

    Two 3×3 convolutions on each of five scales with 1, 2, 4, 8 and 16 times `features`, max-pool between
    them; on the way back the size is doubled bilinearly, a 3×3 convolution without activation halves the
    channels, and the encoder's map is joined. Zero padding, no normalisation.

    outputs:  3, or 6 for two images that compete for every pixel
    features: of the finest scale, 32 in the paper
    port:     False: the TensorFlow reference, with leaky ReLU of 0.2, biases, kernels uniform (Xavier), a 1×1
              convolution first and a 3×3 last. True: the official PyTorch port, with ReLU, 3×3 first and two
              3×3 and a 1×1 last, kernels normal (Xavier), biases only in `up…` and the last
    enlarge:  `legacy` in the reference, `align_corners` in the port, or `half_pixel`; see `ops.upsample`
    8,621,315 and 8,622,182 parameters (3 and 6 outputs), the port 8,627,619 and 8,627,718.
    Source: arXiv:2010.11838; ChenyangLEI/deep-video-prior cb8920a, yzxing87/pytorch-deep-video-prior 0efb8ae.
    """

    outputs: int = 3
    features: int = 32
    port: bool = False
    enlarge: str = "legacy"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        height, width = frames.shape[1:3]
        if height % 2**SCALES or width % 2**SCALES:
            raise UserError(f"frames of {width}×{height}: sides must be multiples of {2**SCALES}.")
        act: Callable[[jax.Array], jax.Array] = (
            nn.relu if self.port else lambda x: nn.leaky_relu(x, 0.2)
        )

        def conv(x: jax.Array, features: int, name: str, size: int = 3, bias: bool = True):
            start = variance_scaling(1.0, "fan_avg", "normal" if self.port else "uniform")
            made = convolution(
                features, size, kernel_init=start, bias=bias, name=name, dtype=self.dtype
            )
            return made(x)

        def pair(x: jax.Array, features: int, name: str, first: int = 3) -> jax.Array:
            x = act(conv(x, features, f"{name}_1", first, not self.port))
            return act(conv(x, features, f"{name}_2", 3, not self.port))

        x = pair(frames.astype(self.dtype), self.features, "conv1", 3 if self.port else 1)
        seen = []
        for scale in range(1, SCALES + 1):
            seen.append(x)
            x = pair(nn.max_pool(x, (2, 2), (2, 2)), self.features * 2**scale, f"conv{scale + 1}")
        for scale in range(SCALES, 0, -1):
            width, place = self.features * 2 ** (scale - 1), 2 * SCALES + 2 - scale
            x = conv(double(x, rule=self.enlarge), width, f"up_{SCALES + 1 - scale}")
            x = jnp.concatenate([x, seen[scale - 1]], -1)
            if scale > 1 or self.port:
                x = pair(x, width, f"conv{place}")
            else:
                x = act(conv(x, width, f"conv{place}_1"))
        size, name = (1, "output") if self.port else (3, f"conv{2 * SCALES + 1}_2")
        return conv(x, self.outputs, name, size).astype(jnp.float32)
