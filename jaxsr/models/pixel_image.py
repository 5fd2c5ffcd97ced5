"""An image that is its own parameters: what is fitted where no network is the prior."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class PixelImage(nn.Module):
    """[1,H,W,C] code, of which only the size is used -> [1,H,W,outputs], any range.

    Pixels start uniform in [0, start]. H·W·outputs parameters.
    Source: DmitryUlyanov/deep-image-prior 042e0d4, sr_prior_effect.ipynb («no prior», «TV prior»).
    """

    outputs: int
    start: float = 0.1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, code: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        drawn = nn.initializers.uniform(self.start)
        image = self.param("image", drawn, (1, *code.shape[1:3], self.outputs))
        return image.astype(self.dtype)
