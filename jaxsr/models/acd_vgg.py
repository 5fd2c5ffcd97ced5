"""The discriminator of SFT-GAN: a VGG trunk with an adversarial and a class head."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import batch_norm, convolution, kaiming_normal

_SLOPE = 0.1
_GAIN = 1.0  # BasicSR initialises discriminators with the unscaled Kaiming normal


class ACDVGG96(nn.Module):
    """VGG discriminator with an auxiliary classifier (ACD_VGG_BN_96).

    Eight convolutions, in pairs 3x3 stride 1 (to f, 2f, 4f, 8f maps) and 4x4 stride 2, all
    padded by 1 on every side, batch normalisation after all but the first, LeakyReLU 0.1;
    flatten; two heads Linear(hidden), LeakyReLU 0.1, Linear(1 or classes).

    images [B,size,size,3] in [0,1] -> {'gan': [B,1] logit, 'class': [B,classes] logits},
    float32. `train` chooses batch statistics (and updates 'batch_stats') or running ones.
    ValueError when images are not size x size, or size is not a multiple of 16: the heads
    fix the size. 10,813,717 parameters with the defaults. Kernels start Kaiming normal
    (fan_in), biases 0, scales 1; BN momentum 0.9 (0.1 in PyTorch's convention), epsilon 1e-5.

    The flattened order is (H,W,C) here and (C,H,W) in PyTorch: permute when converting. The
    running variance is the biased estimate here and the unbiased one in PyTorch.
    Source: XPixelGroup/BasicSR 9420896, ACD_VGG_BN_96; arXiv:1804.02815 section 3.3.
    """

    size: int = 96
    features: int = 64
    classes: int = 8
    hidden: int = 100
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        if self.size % 16:
            raise ValueError(f"size must be a multiple of 16, not {self.size}.")
        if images.ndim != 4 or images.shape[1:3] != (self.size, self.size):
            raise ValueError(
                f"The discriminator takes [B,{self.size},{self.size},3], not {images.shape}."
            )
        x = images
        for i, width in enumerate((1, 2, 4, 8)):
            channels = width * self.features
            x = self._stage(x, channels, 3, 1, index=6 * i - 1 if i else 0, train=train)
            x = self._stage(x, channels, 4, 2, index=6 * i + 2, train=train)
        x = x.reshape(x.shape[0], -1)
        return {"gan": self._head(x, 1, "gan"), "class": self._head(x, self.classes, "cls")}

    def _stage(
        self, x: jax.Array, channels: int, size: int, stride: int, *, index: int, train: bool
    ) -> jax.Array:
        """Convolution, normalisation (not after the very first) and LeakyReLU."""
        x = convolution(
            channels,
            size,
            stride=stride,
            padding=1,
            name=f"feature_{index}",
            kernel_init=kaiming_normal(_GAIN),
            dtype=self.dtype,
        )(x)
        if index:
            x = batch_norm(train=train, name=f"feature_{index + 1}", dtype=self.dtype)(x)
        return nn.leaky_relu(x, _SLOPE)

    def _head(self, x: jax.Array, outputs: int, name: str) -> jax.Array:
        for index, width in ((0, self.hidden), (2, outputs)):
            x = nn.Dense(
                width,
                kernel_init=kaiming_normal(_GAIN),
                bias_init=nn.initializers.zeros,
                dtype=self.dtype,
                param_dtype=jnp.float32,
                name=f"{name}_{index}",
            )(x)
            if index == 0:
                x = nn.leaky_relu(x, _SLOPE)
        return x.astype(jnp.float32)
