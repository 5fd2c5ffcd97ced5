"""FSRCNN: an hourglass on the small image, enlarged by its last layer."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import PReLU, TransposedConv, convolution, normal, variance_scaling
from jaxsr.ops.pixel_shuffle import pixel_shuffle

_TAILS = ("deconv", "shuffle")


class FSRCNN(nn.Module):
    """Feature extraction 5x5, shrinking 1x1, `depth` mappings 3x3, expanding 1x1, enlargement.

    lq [B,H,W,channels] in [0,1] -> [B,sH,sW,channels] float32, not clipped. A PReLU with a slope
    per channel follows every convolution but the last.

    features, shrink, depth: d, s, m of the paper; FSRCNN is (56, 12, 4), FSRCNN-s (32, 5, 1)
    tail: `deconv`, a transposed 9x9 convolution of stride s with padding 4 and output padding
          s - 1 (the paper's layer, placed as in yjn870's code); or `shuffle`, a 1x1 convolution
          to s² maps per channel without bias, pixel shuffle, then one bias per channel (the
          TensorFlow graphs that OpenCV's dnn_superres uses)
    Kernels start N(0, 2/(k²·outputs)), those of the tail N(0, 0.001²), biases 0, slopes 0.25.
    12,809 parameters with the defaults at every scale; FSRCNN-s 4,086.
    Raises ValueError for another tail. Source: Dong et al., arXiv:1608.00367, section 3.2;
    yjn870/FSRCNN-pytorch models.py; Saafke/FSRCNN_Tensorflow models/*.pb.
    """

    scale: int = 3
    features: int = 56
    shrink: int = 12
    depth: int = 4
    channels: int = 1
    tail: str = "deconv"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        if self.tail not in _TAILS:
            raise ValueError(f"tail must be one of {', '.join(_TAILS)}, not {self.tail!r}.")
        start = variance_scaling(2.0, "fan_out", "normal")
        layers = [
            (self.features, 5, "first_part"),
            (self.shrink, 1, "shrink"),
            *((self.shrink, 3, f"map_{i}") for i in range(self.depth)),
            (self.features, 1, "expand"),
        ]
        x = lq
        for width, size, name in layers:
            options = dict(kernel_init=start, dtype=self.dtype)
            x = convolution(width, size, name=name, **options)(x)
            x = PReLU(name=f"{name}_act", dtype=self.dtype)(x)
        if self.tail == "shuffle":
            return _ShuffleTail(self.channels, self.scale, self.dtype, name="last_part")(x)
        x = TransposedConv(
            self.channels,
            size=9,
            stride=self.scale,
            crop=((4, 5 - self.scale), (4, 5 - self.scale)),
            kernel_init=normal(0.001),
            dtype=self.dtype,
            name="last_part",
        )(x)
        return x.astype(jnp.float32)


class _ShuffleTail(nn.Module):
    """1x1 convolution, pixel shuffle, one bias per channel: [B,H,W,C] -> [B,sH,sW,channels]."""

    channels: int
    scale: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = convolution(
            self.channels * self.scale**2,
            1,
            name="conv",
            kernel_init=normal(0.001),
            bias=False,
            dtype=self.dtype,
        )(x)
        bias = self.param("bias", nn.initializers.zeros, (self.channels,), jnp.float32)
        return pixel_shuffle(x, self.scale, order="torch").astype(jnp.float32) + bias
