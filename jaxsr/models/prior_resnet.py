"""The ResNet that Deep Image Prior compares its hourglass with."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import instance_norm
from jaxsr.models.skip_net import padded_conv


class PriorResNet(nn.Module):
    """Residual blocks at full size: [1,H,W,C] code -> [1,H,W,outputs] image in (0, 1).

    `head` (3×3, reflection), leaky ReLU of 0.2; blocks of convolution, normalisation, leaky ReLU,
    convolution, normalisation, all with zero padding and without biases, added to their input; `tail` (3×3,
    zeros) and normalisation; `output` (3×3, reflection), sigmoid. Normalisation is that of `SkipNet`.
    158,979 parameters with 1 channel in and 3 out.
    Source: arXiv:1711.10925, figure 8; DmitryUlyanov/deep-image-prior 042e0d4, models/resnet.py.
    """

    outputs: int
    blocks: int = 8
    features: int = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, code: jax.Array, *, train: bool = False) -> jax.Array:
        del train

        def conv(x: jax.Array, name: str, features: int, pad: str, bias: bool = True) -> jax.Array:
            return padded_conv(x, features, 3, pad=pad, bias=bias, name=name, dtype=self.dtype)

        def norm(x: jax.Array, name: str) -> jax.Array:
            return instance_norm(name=name, dtype=self.dtype)(x)

        x = nn.leaky_relu(conv(code, "head", self.features, "reflection"), 0.2)
        for number in range(1, self.blocks + 1):
            y = norm(
                conv(x, f"block{number}_conv1", self.features, "zero", False),
                f"block{number}_norm1",
            )
            y = conv(nn.leaky_relu(y, 0.2), f"block{number}_conv2", self.features, "zero", False)
            x = x + norm(y, f"block{number}_norm2")
        x = norm(conv(x, "tail", self.features, "zero"), "tail_norm")
        x = conv(x, "output", self.outputs, "reflection")
        return nn.sigmoid(x.astype(jnp.float32))
