"""SPyNet: optical flow from a pyramid of small networks, each of which corrects the one above."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution
from jaxsr.models.vgg import MEAN, STD
from jaxsr.ops.upsample import double
from jaxsr.ops.warp import warp

WIDTHS = (32, 64, 32, 16, 2)


class SPyNet(nn.Module):
    """Two images [B,H,W,3] RGB in [0, 1] -> the flow [B,H,W,2] from the first to the second, in pixels.

    flow[..., 0] points right and [..., 1] down: first(p) looks like second(p + flow(p)).
    Both are enlarged to multiples of 2^(levels-1), normalised as for ImageNet and halved levels - 1 times by
    means of 2×2. From the coarsest on, the flow so far is doubled (corners aligned), the second image moved
    by it, and five 7×7 convolutions (32, 64, 32, 16, 2 maps, ReLU between) of both and the flow correct it.
    1,440,300 parameters with six levels.
    Source: arXiv:1611.00850; the sizes as in XPixelGroup/BasicSR, spynet_arch.py.
    """

    levels: int = 6
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, first: jax.Array, second: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        if first.shape != second.shape:
            raise ValueError(
                f"a flow leads between images of one size: {first.shape}, {second.shape}."
            )
        height, width = first.shape[1:3]
        multiple = 2 ** (self.levels - 1)
        tall, wide = (-(-side // multiple) * multiple for side in (height, width))
        one, two = (self._pyramid(_resized(x, tall, wide)) for x in (first, second))
        flow = jnp.zeros((*one[0].shape[:3], 2))
        for level, (here, there) in enumerate(zip(one, two, strict=True), start=1):
            if level > 1:
                flow = 2 * double(flow, rule="align_corners")
            x = jnp.concatenate([here, warp(there, flow), flow], -1)
            for number, features in enumerate(WIDTHS, start=1):
                x = convolution(
                    features, 7, name=f"level{level}_conv{number}", dtype=self.dtype
                )(x)  # fmt: skip
                x = nn.relu(x) if number < len(WIDTHS) else x
            flow = flow + x.astype(jnp.float32)
        return _resized(flow, height, width) * jnp.array([width / wide, height / tall])

    def _pyramid(self, image: jax.Array) -> list[jax.Array]:
        """The normalised image at every level, coarsest first."""
        found = [(image.astype(jnp.float32) - jnp.array(MEAN)) / jnp.array(STD)]
        for _ in range(self.levels - 1):
            found.insert(0, nn.avg_pool(found[0], (2, 2), (2, 2)))
        return found


def _resized(x: jax.Array, height: int, width: int) -> jax.Array:
    """Bilinear, half-pixel centres, without a filter against aliasing."""
    shape = (x.shape[0], height, width, x.shape[-1])
    return x if x.shape == shape else jax.image.resize(x, shape, "linear", antialias=False)
