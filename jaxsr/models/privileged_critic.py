"""A value of the states of a tool chain that also sees what the agent can't; for training only."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class PrivilegedCritic(nn.Module):
    """Linear layer, ReLU, linear layer over [the agent's memory, what it is told].

    (memory [t,b,50], told [t,b,5]) -> V [t,b]. told: PSNR/50, share of the steps that are left, and the
    strengths of blur, noise and JPEG in [0, 1]. 3,649 parameters. Kernels orthogonal with gain sqrt(2) and
    0.01 for the last, biases 0. Ours: it takes out the variance between images, which dominates, and
    leaves the gradient unbiased, since it does not depend on the action.
    """

    features: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, memory: jax.Array, told: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        x = jnp.concatenate([memory, told], -1)
        x = nn.relu(self._linear(self.features, 2**0.5, "hidden")(x))
        return self._linear(1, 0.01, "value")(x)[..., 0].astype(jnp.float32)

    def _linear(self, features: int, gain: float, name: str) -> nn.Dense:
        return nn.Dense(
            features, kernel_init=nn.initializers.orthogonal(gain), bias_init=nn.initializers.zeros,
            dtype=self.dtype, param_dtype=jnp.float32, name=name,
        )  # fmt: skip
