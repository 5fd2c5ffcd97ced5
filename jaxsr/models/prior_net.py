"""PriorNet: a small segmenter of outdoor scenes, whose class probabilities are SFT-GAN's prior.

The published segmenter (OutdoorSceneSeg, 52 M parameters) is not to be had; this one is our own design. It
sees what that one sees, the low-resolution image enlarged ×4 by the bicubic rule, but as RGB in [0, 1].
Its trunk serves as the features of the perceptual loss where no VGG19 file is given.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import kaiming_normal
from jaxsr.types import UserError

MEAN, DEVIATION = 0.45, 0.25
KAIMING = kaiming_normal(1.0)


class ConvNorm(nn.Module):
    """conv 3×3 without bias, zero padding, then batch normalisation (momentum 0.9, epsilon 1e-5)."""

    features: int
    dilation: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        reach = (self.dilation, self.dilation)
        x = nn.Conv(
            self.features, (3, 3), padding=(reach, reach), kernel_dilation=self.dilation,
            use_bias=False, kernel_init=KAIMING, dtype=self.dtype, name="conv",
        )(x)  # fmt: skip
        return nn.BatchNorm(
            use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, name="norm"
        )(x)


class Trunk(nn.Module):
    """Levels of two ConvNorm-ReLU each, max-pooled ×1/2 between them: 1, 1/2, 1/4, 1/8, 1/16 of the input.

    Returns {"level1": …, …}: the second convolution of each level after its normalisation and before the
    ReLU, of shape [b, h/2^(l-1), w/2^(l-1), widths[l-1]].
    """

    widths: Sequence[int] = (24, 48, 96, 128, 160)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        x, levels = (image - MEAN) / DEVIATION, {}
        for level, width in enumerate(self.widths, start=1):
            if level > 1:
                x = nn.max_pool(x, (2, 2), strides=(2, 2), padding="VALID")
            for index in (0, 1):
                x = ConvNorm(width, dtype=self.dtype, name=f"conv{level}_{index}")(x, train=train)
                if index == 1:
                    levels[f"level{level}"] = x.astype(jnp.float32)
                x = nn.relu(x)
        return levels


class PriorNet(nn.Module):
    """Image [b, h, w, 3] in [0, 1], h and w multiples of 2^(levels-1) → class logits [b, h, w, classes].

    Trunk, a context of two dilated convolutions and the mean over the image at the deepest level, then
    merged upwards (nearest ×2, sum with a 1×1 convolution of the level above) to 1/2^`stop`, and enlarged
    bilinearly. The softmax over the classes is SFT-GAN's prior P. Its 8 classes are in the order of that
    prior: background, sky, water, grass, mountain, building, plant, animal.
    """

    classes: int = 8
    widths: Sequence[int] = (24, 48, 96, 128, 160)
    merged: int = 64
    stop: int = 2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        height, width = image.shape[1:3]
        step = 2 ** (len(self.widths) - 1)
        if height % step or width % step:
            raise UserError(
                f"PriorNet takes images in multiples of {step}, not {height}×{width}: choose such a crop."
            )
        levels = list(Trunk(self.widths, self.dtype, name="trunk")(image, train=train).values())
        x = nn.relu(levels[-1].astype(self.dtype))
        for index, dilation in enumerate((2, 4)):
            context = ConvNorm(self.widths[-1], dilation, self.dtype, name=f"context{index}")
            x = x + nn.relu(context(x, train=train))
        scene = nn.Dense(
            self.widths[-1], kernel_init=KAIMING, bias_init=nn.initializers.zeros, dtype=self.dtype,
            name="scene",
        )(x.mean((1, 2)))  # fmt: skip
        x = self._project(x + scene[:, None, None], len(levels) - 1)
        for level in range(len(levels) - 2, self.stop - 1, -1):
            x = x.repeat(2, axis=1).repeat(2, axis=2)
            x = x + self._project(nn.relu(levels[level].astype(self.dtype)), level)
            x = nn.relu(
                ConvNorm(self.merged, dtype=self.dtype, name=f"merge{level}")(x, train=train)
            )
        logits = nn.Conv(
            self.classes, (1, 1), kernel_init=KAIMING, bias_init=nn.initializers.zeros,
            dtype=self.dtype, name="classify",
        )(x)  # fmt: skip
        shape = (image.shape[0], height, width, self.classes)
        return jax.image.resize(logits.astype(jnp.float32), shape, "linear")

    def _project(self, x: jax.Array, level: int) -> jax.Array:
        return nn.Conv(
            self.merged, (1, 1), use_bias=False, kernel_init=KAIMING, dtype=self.dtype,
            name=f"project{level}",
        )(x)  # fmt: skip
