"""The critic that is told the truth: its size, and that it looks at all it is given."""

import jax
import jax.numpy as jnp
import pytest

from jaxsr.models.privileged_critic import PrivilegedCritic

# (50 + 5 + 1)·64 + 64 + 1
COUNTS = [(PrivilegedCritic(), ((3, 2, 50), (3, 2, 5)), 3_649)]


@pytest.mark.parametrize("module, shapes, count", COUNTS)
def test_size_shape_and_inputs(module, shapes, count):
    memory, told = (jnp.ones(shape) for shape in shapes)
    held = module.init(jax.random.key(0), memory, told)
    assert sum(leaf.size for leaf in jax.tree.leaves(held)) == count
    assert module.apply(held, memory, told).shape == (3, 2)
    for slope in jax.grad(lambda m, t: module.apply(held, m, t).sum(), (0, 1))(memory, told):
        assert (jnp.abs(slope).sum((0, 1)) > 0).mean() > 0.9
