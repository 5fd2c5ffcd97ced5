"""What the trunk of an agent for tool chains has to tell of its image, while it is trained."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class LevelsHead(nn.Module):
    """One linear layer that reads the strengths of blur, noise and JPEG from the agent's features.

    features [b,32] -> [b,3], meant to be in [0, 1]. 99 parameters for 32 features. Kernel normal of
    sqrt(1/inputs), bias 0. Ours: rewards alone teach the trunk to see in hundreds of thousands of updates,
    the known truth in hundreds.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        made = nn.Dense(3, dtype=self.dtype, param_dtype=jnp.float32, name="levels")(features)
        return made.astype(jnp.float32)
