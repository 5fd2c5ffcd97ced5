"""VGG19 and VGG16 as frozen feature extractors for perceptual losses and metrics."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in [0,1]; torchvision
STD = (0.229, 0.224, 0.225)
_CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def layer_names(*, depth: int = 19) -> tuple[str, ...]:
    """All names in forward order, of VGG19 or VGG16: conv1_1, relu1_1, conv1_2, ... pool5."""
    names = []
    for block, count in enumerate(_CONVOLUTIONS[depth], start=1):
        for i in range(1, count + 1):
            names += [f"conv{block}_{i}", f"relu{block}_{i}"]
        names.append(f"pool{block}")
    return tuple(names)


class VGG19(nn.Module):
    """Features of VGG19 (configuration E): conv 3x3 pad 1 with bias, ReLU, max-pool 2x2.

    images [B,H,W,3] RGB in [0,1] -> {name: [B,h,w,C] float32} for each name in `layers`:
    conv* is the value before the ReLU, relu* after it, pool* after the 2x2 stride-2 maximum
    (odd last rows and columns are dropped). The input is normalised here: (x - MEAN) / STD.
    Only the layers up to the deepest name are built: 20,024,384 parameters up to conv5_4,
    555,328 up to conv3_1. ValueError for an unknown name, an empty `layers`, an image that is
    not RGB or is too small. `widths` are the maps per block; kernels start Kaiming normal
    (fan_in) and biases 0, which is of use in tests only: load real weights.

    Source: Simonyan and Zisserman 2015; torchvision vgg19().features, names of BasicSR.
    """

    layers: tuple[str, ...] = ("conv5_4",)
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        del train  # frozen, and without dropout in the convolutional part
        return _features(images, self.layers, self.widths, depth=19, dtype=self.dtype)


class VGG16(nn.Module):
    """Features of VGG16 (configuration D): as `VGG19`, with three convolutions in blocks 3 to 5.

    Interface, normalisation and errors of `VGG19`. The default layers are those of LPIPS;
    14,714,688 parameters up to conv5_3.

    Source: Simonyan and Zisserman 2015; torchvision vgg16().features.
    """

    layers: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        del train  # as in VGG19
        return _features(images, self.layers, self.widths, depth=16, dtype=self.dtype)


def _features(
    images: jax.Array, layers: tuple[str, ...], widths: tuple[int, ...], *, depth: int, dtype: Any
) -> dict[str, jax.Array]:
    """The layers of either network; called inside a compact module, whose children they become."""
    names = layer_names(depth=depth)
    unknown = [name for name in layers if name not in names]
    if unknown or not layers:
        raise ValueError(f"layers must be some of {', '.join(names)}; got {layers}.")
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"VGG{depth} takes RGB images [B,H,W,3], not {images.shape}.")
    deepest = max(map(names.index, layers))
    x = (images.astype(jnp.float32) - jnp.array(MEAN)) / jnp.array(STD)
    kept = {}
    for name in names[: deepest + 1]:
        if name.startswith("conv"):
            x = convolution(widths[int(name[4]) - 1], 3, name=name, dtype=dtype)(x)
        elif name.startswith("relu"):
            x = nn.relu(x)
        else:
            if min(x.shape[1:3]) < 2:
                raise ValueError(f"Images of {images.shape[1:3]} vanish at {name}.")
            x = nn.max_pool(x, (2, 2), strides=(2, 2), padding="VALID")
        if name in layers:
            kept[name] = x.astype(jnp.float32)
    return kept
