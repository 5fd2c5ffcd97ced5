"""SRCNN: three convolutions on the bicubically enlarged image."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import EdgePad, convolution, normal
from jaxsr.ops.resize import resize

_BORDERS = ("zero", "edge")


class SRCNN(nn.Module):
    """Patch extraction, non-linear mapping, reconstruction: conv3(ReLU(conv2(ReLU(conv1(x))))).

    lq [B,H,W,channels] in [0,1] -> [B,sH,sW,channels] float32, not clipped; Y of BT.601 for one
    channel, RGB for three. With `scale` > 1 the image is enlarged bicubically first (clamped
    border); with 1 the caller has done so.

    kernels:  sizes (odd); published (9, 1, 5), (9, 3, 5), (9, 5, 5)
    features: maps after the first and the second convolution
    border:   `zero` padding (yjn870's training), or `edge`: every convolution repeats the edge of
              its input (the authors' MATLAB demo; needed for the published figures)
    Kernels start N(0, 0.001²), biases 0. 8,129 / 24,513 / 57,281 parameters for one channel.
    Raises ValueError for another border. Source: Dong et al., arXiv:1501.00092, sections 3.1 and
    4.3.2; yjn870/SRCNN-pytorch models.py; SRCNN.m of the authors' demo.
    """

    kernels: Sequence[int] = (9, 5, 5)
    features: Sequence[int] = (64, 32)
    channels: int = 1
    scale: int = 1
    border: str = "zero"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        if self.border not in _BORDERS:
            raise ValueError(f"border must be one of {', '.join(_BORDERS)}, not {self.border!r}.")
        x = lq.astype(jnp.float32)
        if self.scale > 1:
            x = resize(x, self.scale, border="clamp")
        widths = (*self.features, self.channels)
        for index, (width, size) in enumerate(zip(widths, self.kernels, strict=True), start=1):
            if self.border == "edge" and size > 1:
                x = EdgePad(size // 2, name=f"edge{index}")(x)
            x = convolution(
                width,
                size,
                name=f"conv{index}",
                kernel_init=normal(0.001),
                padding=0 if self.border == "edge" else None,
                dtype=self.dtype,
            )(x)
            if index < len(widths):
                x = nn.relu(x)
        return x.astype(jnp.float32)
