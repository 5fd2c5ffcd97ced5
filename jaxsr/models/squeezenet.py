"""SqueezeNet 1.1 without its classifier as a frozen feature extractor: a trunk of LPIPS."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution
from jaxsr.models.vgg import MEAN, STD

CAFFE_MEAN = (123.0, 117.0, 104.0)  # of ImageNet, RGB in 0..255; the Caffe release
INPUTS = ("torchvision", "caffe")
# (squeezed maps, maps of each of the two expansions) of fire2 .. fire9
FIRES = (
    (16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256),
)  # fmt: skip
TAPS = ("relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
SMALLEST = 17  # pixels on a side that leave one position after the three poolings


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1 up to fire9.

    images [B,H,W,3] RGB in [0,1] -> {tap: [B,h,w,C] float32} for TAPS, with 64, 128, 256, 384,
    384, 512, 512 maps: conv1 3x3 stride 2 without padding and its ReLU, then eight fire modules
    (1x1 squeeze, ReLU; 1x1 and 3x3 expansions side by side, ReLU); before fire2, fire4 and fire6
    a 3x3 maximum of stride 2 whose last window may hang over the edge (ceil mode). 722,496
    parameters.

    input:  how the image is normalised here: `torchvision`, by ImageNet's mean and deviation, or
            `caffe`, BGR levels of 255 less the mean, for weights of the Caffe release

    ValueError for an image that is not RGB or has under 17 pixels on a side, an unknown `input`.
    Kernels start Kaiming normal and biases 0, of use in tests only: load real weights.

    Source: Iandola et al. 2016, arXiv:1602.07360; torchvision squeezenet1_1().features;
    forresti/SqueezeNet v1.1.
    """

    input: str = "torchvision"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        del train  # frozen, and without dropout in the convolutional part
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"SqueezeNet takes RGB images [B,H,W,3], not {images.shape}.")
        if min(images.shape[1:3]) < SMALLEST:
            raise ValueError(
                f"SqueezeNet needs {SMALLEST} pixels on a side, not {images.shape[1:3]}."
            )
        x = _normalised(images.astype(jnp.float32), self.input)
        x = convolution(64, 3, name="conv1", dtype=self.dtype, stride=2, padding=0)(x)
        kept = {"relu1": nn.relu(x)}
        x = kept["relu1"]
        for index, (squeezed, expanded) in enumerate(FIRES, start=2):
            if index in (2, 4, 6):
                x = _ceil_pool(x)
            x = _fire(x, squeezed, expanded, name=f"fire{index}", dtype=self.dtype)
            kept[f"fire{index}"] = x
        return {name: kept[name].astype(jnp.float32) for name in TAPS}


def _normalised(images: jax.Array, rule: str) -> jax.Array:
    if rule not in INPUTS:
        raise ValueError(f"input must be one of {', '.join(INPUTS)}, not {rule!r}.")
    if rule == "caffe":
        return (images * 255 - jnp.array(CAFFE_MEAN))[..., ::-1]
    return (images - jnp.array(MEAN)) / jnp.array(STD)


def _ceil_pool(x: jax.Array) -> jax.Array:
    """3x3 maximum of stride 2; ceil((n - 3)/2) + 1 windows, the last with what there is of it."""
    ends = [(0, -(n - 3) % 2 if n > 2 else 3 - n) for n in x.shape[1:3]]
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=ends)


def _fire(x: jax.Array, squeezed: int, expanded: int, *, name: str, dtype: Any) -> jax.Array:
    """Called inside a compact module: its convolutions become the caller's children."""

    def layer(x: jax.Array, features: int, size: int, part: str) -> jax.Array:
        made = convolution(features, size, name=f"{name}_{part}", dtype=dtype)
        return nn.relu(made(x))

    x = layer(x, squeezed, 1, "squeeze")
    parts = layer(x, expanded, 1, "expand1x1"), layer(x, expanded, 3, "expand3x3")
    return jnp.concatenate(parts, axis=-1)
