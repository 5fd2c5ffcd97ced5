"""The critic that is told the truth: its size, and that it looks at all it is given."""

import jax
import jax.numpy as jnp

from jaxsr.models.privileged_critic import PrivilegedCritic


def test_size_shape_and_inputs():
    module = PrivilegedCritic()
    memory, told = jnp.ones((3, 2, 50)), jnp.ones((3, 2, 5))
    held = module.init(jax.random.key(0), memory, told)
    assert sum(leaf.size for leaf in jax.tree.leaves(held)) == 3_649
    assert module.apply(held, memory, told).shape == (3, 2)
    for slope in jax.grad(lambda m, t: module.apply(held, m, t).sum(), (0, 1))(memory, told):
        assert (jnp.abs(slope).sum((0, 1)) > 0).mean() > 0.9
