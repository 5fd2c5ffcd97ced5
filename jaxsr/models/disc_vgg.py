"""The VGG-style discriminators of SRGAN, of BasicSR (ESRGAN) and the pooled one of leftthomas."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import batch_norm, convolution, kaiming_normal, torch_conv, torch_dense

_SLOPE = 0.2
_STARTS = ("torch", "kaiming")


class VGGDiscriminator(nn.Module):
    """Pairs of convolutions, the second of each halves the size; two dense layers; one logit.

    Stage i has min(2^i, 8)·features maps: conv 3x3, then conv `down_size` stride 2, padding 1 on
    every side; batch normalisation after all but the very first; LeakyReLU 0.2. Then flatten, or the
    mean over space with `pool`; dense `hidden`, LeakyReLU 0.2, dense 1 (a logit: no sigmoid).

    | network | size | stages | down_size | hidden | bias | pool | parameters |
    | BasicSR VGGStyleDiscriminator (default) | 128 | 5 | 4 | 100 | no | no | 14,499,401 |
    | the same for 256 | 256 | 6 | 4 | 100 | no | no | 21,055,049 |
    | BasicSR before 2020 | 96, 128, 192 | 5, 5, 6 | 4 | 100 | yes | no | 14,143,881, 14,502,281, 20,700,553 |
    | SRGAN paper | 96 | 4 | 3 | 1024 | yes | no | 23,565,505 |
    | leftthomas/SRGAN | any | 4 | 3 | 1024 | yes | yes | 5,215,425 |

    `bias`: of the convolutions that a normalisation follows. `start`: `torch` (uniform
    ±1/sqrt(fan_in)) or `kaiming` (normal, fan_in; biases 0), BasicSR's before 2020.

    images [B,size,size,3] in [0,1] ([B,H,W,3] with `pool`) -> {'gan': [B,1] logit}, float32. `train`
    chooses batch statistics (and updates 'batch_stats') or running ones. ValueError for images of
    another size, a size that 2^stages does not divide, or an unknown start.
    The flattened order is (H,W,C) here and (C,H,W) in PyTorch.
    Source: arXiv:1609.04802 section 2.1 and figure 4; XPixelGroup/BasicSR 8d56e3a
    basicsr/archs/discriminator_arch.py and 9fd09d4 codes/models/modules/architecture.py;
    leftthomas/SRGAN 7ddfdf2 model.py.
    """

    size: int = 128
    features: int = 64
    stages: int = 5
    down_size: int = 4
    hidden: int = 100
    bias: bool = False
    pool: bool = False
    start: str = "torch"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        self._check(images)
        x = images
        for i in range(self.stages):
            maps = self.features * min(2**i, 8)
            x = self._conv(x, maps, 3, 1, f"{i}_0", train=train)
            x = self._conv(x, maps, self.down_size, 2, f"{i}_1", train=train)
        x = x.mean(axis=(1, 2)) if self.pool else x.reshape(x.shape[0], -1)
        x = nn.leaky_relu(self._dense(x, self.hidden, "linear1"), _SLOPE)
        return {"gan": self._dense(x, 1, "linear2").astype(jnp.float32)}

    def _conv(
        self, x: jax.Array, maps: int, size: int, stride: int, place: str, *, train: bool
    ) -> jax.Array:
        first = place == "0_0"
        options = dict(stride=stride, padding=1, bias=first or self.bias, dtype=self.dtype)
        name = f"conv{place}"
        if self.start == "kaiming":
            x = convolution(maps, size, name=name, **options)(x)
        else:
            x = torch_conv(x, maps, size, name=name, **options)
        if not first:
            x = batch_norm(train=train, name=f"bn{place}", dtype=self.dtype)(x)
        return nn.leaky_relu(x, _SLOPE)

    def _dense(self, x: jax.Array, outputs: int, name: str) -> jax.Array:
        if self.start == "torch":
            return torch_dense(x, outputs, name=name, dtype=self.dtype)
        return nn.Dense(
            outputs,
            kernel_init=kaiming_normal(1.0),
            bias_init=nn.initializers.zeros,
            dtype=self.dtype,
            param_dtype=jnp.float32,
            name=name,
        )(x)

    def _check(self, images: jax.Array) -> None:
        if self.start not in _STARTS:
            raise ValueError(f"start must be one of {', '.join(_STARTS)}, not {self.start!r}.")
        if self.pool:
            return
        if self.size % 2**self.stages:
            raise ValueError(
                f"size must be a multiple of {2**self.stages}, not {self.size}: each of the "
                f"{self.stages} stages halves it."
            )
        if images.ndim != 4 or images.shape[1:3] != (self.size, self.size):
            raise ValueError(
                f"The discriminator takes [B,{self.size},{self.size},3], not {images.shape}."
            )
