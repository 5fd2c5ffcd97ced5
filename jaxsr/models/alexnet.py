"""AlexNet's convolutions as a frozen feature extractor: the default trunk of LPIPS."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution
from jaxsr.models.vgg import MEAN, STD

# (maps, size, stride, padding) of conv1 .. conv5
_CONVOLUTIONS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
SMALLEST = 31  # pixels on a side that leave one position after both poolings


class AlexNet(nn.Module):
    """The five convolutions of torchvision's AlexNet, each with its ReLU.

    images [B,H,W,3] RGB in [0,1] -> {"relu1": [B,h,w,64], "relu2": 192 maps, "relu3": 384,
    "relu4": 256, "relu5": 256} float32. Before conv2 and conv3 a 3x3 maximum of stride 2, without
    padding. The input is normalised here by ImageNet's mean and deviation. 2,469,696 parameters.
    ValueError for an image that is not RGB or has under 31 pixels on a side. Kernels start Kaiming
    normal and biases 0, which is of use in tests only: load real weights.

    Source: Krizhevsky 2014, arXiv:1404.5997; torchvision alexnet().features.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        del train  # frozen, and without dropout in the convolutional part
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"AlexNet takes RGB images [B,H,W,3], not {images.shape}.")
        if min(images.shape[1:3]) < SMALLEST:
            raise ValueError(f"AlexNet needs {SMALLEST} pixels on a side, not {images.shape[1:3]}.")
        x = (images.astype(jnp.float32) - jnp.array(MEAN)) / jnp.array(STD)
        kept = {}
        for index, (maps, size, stride, padding) in enumerate(_CONVOLUTIONS, start=1):
            if index in (2, 3):
                x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="VALID")
            x = convolution(
                maps, size, name=f"conv{index}", dtype=self.dtype, stride=stride,
                padding=padding,
            )(x)  # fmt: skip
            x = nn.relu(x)
            kept[f"relu{index}"] = x.astype(jnp.float32)
        return kept
