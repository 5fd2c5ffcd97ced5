"""ESPCN: convolutions on the small image and a sub-pixel layer, in the forms that are about."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution, normal, variance_scaling
from jaxsr.ops.pixel_shuffle import pixel_shuffle

# variant: (widths of the hidden layers, what follows them, what follows the shuffle)
_VARIANTS = {
    "paper": ((64, 32), nn.tanh, None),
    "paper_sigmoid": ((64, 32), nn.tanh, nn.sigmoid),
    "seed": ((64, 64, 32), nn.tanh, nn.sigmoid),
    "tensorflow": ((64, 32), nn.relu, nn.tanh),
}


class ESPCN(nn.Module):
    """conv5x5, conv3x3 (one or two), conv3x3 to channels·s² maps, pixel shuffle.

    lq [B,H,W,channels] in [0,1] -> [B,sH,sW,channels] float32, not clipped.

    variant: `paper`, hidden widths 64 and 32, tanh, linear output (yjn870); `paper_sigmoid`, the same
             with a sigmoid on the output (first revision of leftthomas); `seed`, widths 64, 64, 32
             and a sigmoid (leftthomas, as the project's seed prints it); `tensorflow`, widths
             64 and 32, ReLU, and tanh on the output (TF-ESPCN, OpenCV's dnn_superres)
    Kernels start N(0, 2/(k²·outputs)), the last N(0, 0.001²), biases 0. 21,284 / 22,729 / 24,752
    parameters at x2 / x3 / x4; seed 58,212 / 59,657 / 61,680.
    Raises ValueError for another variant. Source: Shi et al., arXiv:1609.05158, section 3;
    yjn870/ESPCN-pytorch models.py; leftthomas/ESPCN model.py; fannymonori/TF-ESPCN export/*.pb.
    """

    scale: int = 3
    variant: str = "paper"
    channels: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        if self.variant not in _VARIANTS:
            raise ValueError(
                f"variant must be one of {', '.join(_VARIANTS)}, not {self.variant!r}."
            )
        widths, hidden, last = _VARIANTS[self.variant]
        start = variance_scaling(2.0, "fan_out", "normal")
        x = lq
        for index, width in enumerate(widths, start=1):
            size = 5 if index == 1 else 3
            options = dict(kernel_init=start, dtype=self.dtype)
            x = hidden(convolution(width, size, name=f"conv{index}", **options)(x))
        x = convolution(
            self.channels * self.scale**2,
            3,
            name=f"conv{len(widths) + 1}",
            kernel_init=normal(0.001),
            dtype=self.dtype,
        )(x)
        x = pixel_shuffle(x, self.scale, order="torch").astype(jnp.float32)
        return last(x) if last else x
